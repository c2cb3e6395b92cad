"""A visitor is forgotten: seconds until nobody is told of them any more, and until no disk holds a byte of them.

The visitor's id, user id, session id and search terms hold one random marker. Every log segment, state folder, process log and
shared-memory file is searched for it before (it has to be there, or the search proves nothing) and after.
"""

from __future__ import annotations

import secrets
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.erasure import await_receipt, scrub
from contracts.erasures import ErasureReceipt
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import Settings, resolve
from contracts.topics import DEAD_LETTERS, ERASURES, EVENTS, PAGES, SESSIONS
from nemesis.lab import Lab, LabError
from nemesis.topic import lag, read_topic
from nemesis.workload import Traffic

LOGICAL_SECONDS, PHYSICAL_SECONDS = 60.0, 600.0
_EVENTS = 20
_ROLLED_SECONDS = 5.0
_CHUNK = 1 << 22
_SHM = Path("/dev/shm")  # noqa: S108 - searched, not written
# Lab settings: segments of two seconds, tombstones kept for one. In production hours, see contracts/topics.py.
_ROLL = {"segment.ms": "2000", "file.delete.delay.ms": "1000"}
_CLEAN = {
    **_ROLL,
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "1000",
}
_LEAVE = {**_CLEAN, "retention.ms": "20000"}  # requests are too few to fill a second segment


@dataclass(frozen=True)
class Erased:
    """Outcome.

    Attributes:
        receipt_seconds: from the request until the worker's receipt.
        logical_seconds: until the gateway has no page and table and page topic end with tombstones.
        physical_seconds: from the request until no file holds the marker; None if one still did after ten minutes.
        found_before: hits of the marker by place, before the request.
        found_after: the same at the end.
        scanned_files: files of the last search.
        scanned_megabytes: their size.
        scrubbed: what the first `vitrine erase --now` took away; a second follows when the segments have rolled.
        receipt: the worker's receipt.
    """

    receipt_seconds: float
    logical_seconds: float
    physical_seconds: float | None
    found_before: dict[str, int]
    found_after: dict[str, int]
    scanned_files: int
    scanned_megabytes: float
    scrubbed: dict[str, int]
    receipt: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether it was quick enough, complete, and the marker was everywhere before."""
        was_there = {EVENTS, PAGES, DEAD_LETTERS, "changelog"} <= set(self.found_before)
        return was_there and self.logical_seconds <= LOGICAL_SECONDS and self.physical_seconds is not None

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Search:
    """Hits by place, and how much was looked at."""

    hits: dict[str, int]
    files: int
    size: int


def _files(roots: list[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_dir():
            yield from (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def holds_marker(path: Path, marker: bytes) -> bool:
    """Whether the file holds the bytes; one that is gone or may not be read does not."""
    try:
        with path.open("rb") as file:
            before = b""
            while chunk := file.read(_CHUNK):
                if marker in before + chunk:
                    return True
                before = chunk[-len(marker) :]
    except OSError:
        return False
    return False


def search(roots: list[Path], marker: bytes) -> Search:
    """Look through every file below the roots."""
    hits: Counter[str] = Counter()
    files = size = 0
    for path in _files(roots):
        files += 1
        try:
            size += path.stat().st_size
        except OSError:
            continue
        if holds_marker(path, marker):
            hits[_place(path)] += 1
    return Search(dict(hits), files, size)


def _place(path: Path) -> str:
    """The topic of a log segment, else the file's name."""
    folder = path.parent.name.rpartition("-")[0]
    if path.suffix in {".log", ".deleted", ".swap", ".cleaned"} and folder:
        return "changelog" if folder.endswith("changelog") else folder
    return path.name


def _lab_settings(settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    changelog = f"{prefix}{settings.worker.group}-sessions-changelog"
    wanted = {prefix + EVENTS: _ROLL, prefix + DEAD_LETTERS: _ROLL, prefix + PAGES: _CLEAN, prefix + SESSIONS: _CLEAN}
    wanted |= {changelog: _CLEAN, prefix + ERASURES: _LEAVE}
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka))
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs) for name, configs in wanted.items()])
    finally:
        admin.close()


def _visit(settings: Settings, visitor: str) -> None:
    """Good events and a broken one, all full of the marker."""
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
    topic, key = settings.kafka.topic_prefix + EVENTS, message_key("default", visitor)
    for number in range(_EVENTS):
        event = {
            "event_id": f"{visitor}-{number}",
            "event_name": "search" if number % 2 else "view_item",
            "event_time": int(time.time() * 1000),
            "visitor_id": visitor,
            "user_id": f"user-{visitor}",
            "session_id": f"session-{visitor}",
            "search_term": visitor,
            "items": [{"item_id": f"i{number}"}],
            "page": {"page_type": "home"},
        }
        producer.send(topic, msgspec.json.encode(event), key=key)
    producer.send(topic, f'{{"visitor_id":"{visitor}", broken'.encode(), key=key)
    producer.flush()
    producer.close()


def _gateway_says(settings: Settings, visitor: str, method: str = "GET") -> tuple[int, bytes]:
    kind = "visitors" if method == "DELETE" else "pages"
    address = f"http://{settings.gateway.host}:{settings.gateway.port}/v1/{kind}/{visitor}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def _is_forgotten(settings: Settings, visitor: str) -> bool:
    """By the gateway, the page topic and the session table."""
    key = message_key("default", visitor)
    for name in (PAGES, f"{settings.worker.group}-sessions-changelog"):
        last = {record.key: record.value for record in read_topic(settings.kafka, name)}
        if any(last.get(each) is not None for each in (key, b"\xff" + key)):
            return False
    return _gateway_says(settings, visitor)[0] == 404


def erasure(lab: Lab, tell: Callable[[str], object] = lambda _: None) -> Erased:
    """Let a visitor come, forget them under traffic of others, and search until nothing is found.

    Raises:
        LabError: the lab did not get as far as the request, or no receipt came.
    """
    settings, marker = lab.settings, secrets.token_hex(12)
    visitor = f"forget-{marker}"
    _lab_settings(settings)
    roots = [lab.var, _SHM, resolve(settings.worker.data_dir)]
    with Traffic(settings, rate=40, seed=9, poison=0.2):
        _visit(settings, visitor)
        lab.wait("the visitor has a page", lambda: _gateway_says(settings, visitor)[0] == 200, 30)
        lab.wait("nearly all is done", lambda: lag(settings.kafka, settings.worker.group, EVENTS) < 100, 60)
        before = search(roots, marker.encode())
        tell(f"the marker is in {before.hits}")
        began = time.monotonic()
        receipt = _requested(settings, visitor)
        receipt_seconds = time.monotonic() - began
        lab.wait("nobody is told of the visitor", lambda: _is_forgotten(settings, visitor), LOGICAL_SECONDS)
        logical = time.monotonic() - began
        tell(f"forgotten after {logical:.1f} s, by receipt after {receipt_seconds:.1f} s")
        scrubbed = scrub(settings, visitor, receipt)
        tell(f"cut off: {scrubbed}")
        time.sleep(_ROLLED_SECONDS)  # the segments that were being written have rolled: cut again, as an operator does
        again = scrub(settings, visitor, _requested(settings, visitor))
        tell(f"cut off: {again}")
        after = _searched_until_clean(roots, marker.encode(), began, tell)
        physical = time.monotonic() - began
    return Erased(
        receipt_seconds=round(receipt_seconds, 2),
        logical_seconds=round(logical, 2),
        physical_seconds=None if after.hits else round(physical, 1),
        found_before=before.hits,
        found_after=after.hits,
        scanned_files=after.files,
        scanned_megabytes=round(after.size / 1e6, 1),
        scrubbed=asdict(scrubbed),
        receipt=msgspec.to_builtins(receipt),
    )


def _requested(settings: Settings, visitor: str) -> ErasureReceipt:
    """The receipt of a request by the gateway."""
    status, body = _gateway_says(settings, visitor, "DELETE")
    if status != 202:
        message = f"the gateway answered {status} to the erasure, expected 202"
        raise LabError(message)
    receipt = await_receipt(settings, msgspec.json.decode(body)["request_id"], LOGICAL_SECONDS)
    if receipt is None:
        message = f"no receipt within {LOGICAL_SECONDS:.0f} s"
        raise LabError(message)
    return receipt


def _searched_until_clean(roots: list[Path], marker: bytes, began: float, tell: Callable[[str], object]) -> Search:
    """The last search: the first without a hit, or the one at the end of the time."""
    while (found := search(roots, marker)).hits and time.monotonic() - began < PHYSICAL_SECONDS:
        tell(f"{time.monotonic() - began:.0f} s: still in {found.hits}")
        time.sleep(5)
    return found
