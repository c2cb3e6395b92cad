"""Readers, pace and repair."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from contracts.errors import ContractError, InvalidField, MalformedEvent
from contracts.events import Event
from producers.readers import fashion, jsonl, yoochoose
from producers.repair import repaired
from producers.replay import paced


def event(time_ms: int) -> Event:
    return Event(event_id=str(time_ms), event_name="view_item", event_time=time_ms, visitor_id="v")


def test_events_are_due_at_the_pace_at_which_they_happened_times_the_speed() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    due = [
        (each.time, now[0]) for each in paced([event(0), event(10_000), event(5_000), event(30_000)], 10, lambda: now[0], sleep)
    ]
    assert due == [(0, 100.0), (10_000, 101.0), (5_000, 101.0), (30_000, 103.0)]


def test_speed_zero_does_not_wait() -> None:
    def fail(_: float) -> None:
        pytest.fail("waited")

    assert len(list(paced([event(0), event(10**9)], 0, sleep=fail))) == 2


def test_a_bad_line_is_named_with_its_field_and_what_came_before_is_read(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl.gz"
    good = b'{"event_id":"e","event_name":"view_item","event_time":1,"visitor_id":"v"}\n'
    file.write_bytes(gzip.compress(good + b"\n" + good.replace(b'"v"', b"7")))
    events = jsonl.read_events(file)
    assert next(events).visitor_id == "v"
    with pytest.raises(InvalidField, match=r"line 3: \$\.visitor_id: Expected `str`, got `int`"):
        next(events)


def test_a_bad_line_can_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    good = b'{"event_id":"e","event_name":"view_item","event_time":1,"visitor_id":"v"}\n'
    file.write_bytes(good + b"{broken\n" + good)
    bad: list[ContractError] = []
    assert len(list(jsonl.read_events(file, bad.append))) == 2
    assert [str(error).startswith("line 2: ") for error in bad] == [True]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = r"none.* cannot be read: No such file"
    with pytest.raises(InvalidField, match=missing):
        list(jsonl.read_items(tmp_path / "none"))
    with pytest.raises(InvalidField, match=missing):
        list(yoochoose.read_items(tmp_path / "none.tsv.gz", "y"))


def test_clicks_become_events_in_order_of_time_and_bare_items(tmp_path: Path) -> None:
    file = tmp_path / "clicks.tsv"
    file.write_text("SessionId\tItemId\tTime\n2\t77\t30\n1\t88\t10.25\n2\t88\t20\n")
    events = list(yoochoose.read_events(file, "y"))
    assert [(e.visitor_id, e.items[0].item_id, e.time) for e in events] == [
        ("session-1", "88", 10_250),
        ("session-2", "88", 20_000),
        ("session-2", "77", 30_000),
    ]
    assert [(i.item_id, i.title, i.tenant_id) for i in yoochoose.read_items(file, "y")] == [("77", "", "y"), ("88", "", "y")]


def test_a_table_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "clicks.tsv"
    file.write_text("SessionId\tItem\tTime\n")
    with pytest.raises(InvalidField, match="ItemId"):
        list(yoochoose.read_events(file, "y"))


def test_photos_are_unpacked_once_and_never_outside_the_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / fashion.PHOTOS, "w") as tar:
        for name in ("images/15970.jpg", "../../evil.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(bytes(3)))
    with gzip.open(tmp_path / fashion.PRODUCTS, "wt") as table:
        table.write("id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName\n")
        table.write("15970,Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011,Casual,Turtle Check Men Navy Blue Shirt\n")
        table.write("1,Men,Apparel,Topwear,Shirts,Red,Fall,2011,Casual,No photo\n")
    target = tmp_path / "out"
    with fashion.Photos(tmp_path, target) as photos:
        (item,) = fashion.read_items(tmp_path, "f", photos.path)
        assert photos.path("evil") == target / "evil.jpg"
        before = (target / "15970.jpg").stat().st_mtime_ns
        assert photos.path("15970") == target / "15970.jpg"
        (inline,) = fashion.read_items(tmp_path, "f", photos.path, inline=True)
    assert sorted(path.name for path in target.iterdir()) == ["15970.jpg", "evil.jpg"]
    assert not (tmp_path.parent / "evil.jpg").exists()
    assert item.categories == ("Apparel > Topwear > Shirts",)
    assert item.images[0].uri == (target / "15970.jpg").as_uri()
    assert inline.images[0].uri == "data:image/jpeg;base64," + base64.b64encode(bytes(3)).decode()
    assert (target / "15970.jpg").stat().st_mtime_ns == before


def test_a_broken_event_is_repaired_field_by_field() -> None:
    value = b'{"event_id":"e","items":[{"item_id":"a","price":"cheap"}]}'
    assert repaired(value, ["items[0].price=9.5", "event_name=view_item"]) == (
        b'{"event_id": "e", "items": [{"item_id": "a", "price": 9.5}], "event_name": "view_item"}'
    )
    assert repaired(b"{broken", []) == b"{broken"
    with pytest.raises(MalformedEvent):
        repaired(b"{broken", ["a=1"])
    with pytest.raises(InvalidField, match=r"items\[3\]"):
        repaired(value, ["items[3].price=1"])
    with pytest.raises(InvalidField, match="no '='"):
        repaired(value, ["price"])
