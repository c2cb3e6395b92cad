"""The readers on data that nobody here made; skipped where it is not at hand."""

from __future__ import annotations

import os
import tarfile
from itertools import islice
from pathlib import Path

import pytest

from contracts.catalog import decode_item, encode
from contracts.events import decode_event, encode_event
from contracts.settings import ROOT
from producers.readers import fashion, yoochoose

DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
CLICKS = DATA / "sessions" / "yoochoose_100k_timestamped" / "test.tsv.gz"
PRODUCTS = DATA / "fashion_products"
pytestmark = pytest.mark.data


@pytest.mark.skipif(not CLICKS.exists(), reason=f"no clicks at {CLICKS}")
def test_every_real_click_is_an_event_that_keeps_the_contract_in_order_of_time() -> None:
    events = list(yoochoose.read_events(CLICKS, "yoochoose"))
    items = {item.item_id for item in yoochoose.read_items(CLICKS, "yoochoose")}
    assert len(events) > 10_000
    assert all(decode_event(encode_event(event)) == event for event in events)
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert len({event.event_id for event in events}) == len(events)
    assert {item.item_id for event in events for item in event.items} == items


@pytest.mark.skipif(not PRODUCTS.exists(), reason=f"no products at {PRODUCTS}")
def test_real_products_keep_the_contract_and_find_their_photos(tmp_path: Path) -> None:
    with tarfile.open(PRODUCTS / fashion.PHOTOS) as tar:
        names = [member.name for member in islice(tar, 200)]
    photos = {Path(name).stem: tmp_path / Path(name).name for name in names if name.endswith(".jpg")}
    items = list(fashion.read_items(PRODUCTS, "fashion", photos.get))
    assert {item.item_id for item in items} == set(photos)
    assert all(decode_item(encode(item)) == item for item in items)
    assert all(item.title and item.categories[0].count(" > ") == 2 for item in items)
    everything = list(fashion.read_items(PRODUCTS, "fashion", photos.get, only_with_photo=False))
    assert len(everything) == 44_446
