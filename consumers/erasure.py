"""The rest of an erasure: waiting for its receipt, and taking raw events, dead letters and the request off the disks at once.

Kafka cannot delete one record. Raw events and dead letters leave by retention, after 7 and 28 days, both within the month
that the GDPR (art. 12(3)) allows. :func:`scrub` does not wait for it:

- events: the visitor's partition is cut as far as the receipt says that the workers are done. What others sent there before
  leaves with it; sessions and pages do not need it, a retraining from raw events would.
- dead letters: those of others are copied behind the end of the visitor's partition, and of any other that names the visitor,
  then everything before is cut. A crash between the two leaves some twice, with the same place of origin in their headers.
- the request itself, whose key names the visitor, is covered by a tombstone.

Kafka drops whole segments: the one that was being written at the time holds what came later too, and stays. A second erasure
and cut after `segment.ms` take it along; nothing of the visitor can be read from the topic meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from consumers.topic_reader import CONNECT_MS, TopicReader
from contracts.erasures import ErasureReceipt, decode_receipt, visitor_digest
from contracts.errors import BrokerUnavailable, ConfigurationError
from contracts.kafka_client import kafka_python_options
from contracts.keys import message_key
from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, ERASURE_RECEIPTS, ERASURES, EVENTS


@dataclass(frozen=True)
class Scrubbed:
    """What :func:`scrub` took away.

    Attributes:
        events: records of the visitor in the events topic.
        events_cut: all records that were cut off, these included.
        letters: dead letters that name the visitor.
        letters_copied: dead letters of others that were copied behind the cut.
    """

    events: int
    events_cut: int
    letters: int
    letters_copied: int


def await_receipt(settings: Settings, request_id: str, seconds: float) -> ErasureReceipt | None:
    """The receipt of a request, None if there is none after `seconds`.

    Raises:
        BrokerUnavailable: if no broker answers.
    """
    deadline = time.monotonic() + seconds
    with TopicReader(settings.kafka, ERASURE_RECEIPTS) as reader:
        reader.rewind()
        while time.monotonic() < deadline:
            for record in reader.poll():
                if record.key == request_id.encode() and record.value:
                    return decode_receipt(record.value)
    return None


def mentions(visitor_id: str) -> Callable[[bytes], bool]:
    """Whether bytes hold the id, as a whole word: `v-1` is not in `v-10`."""
    pattern = re.compile(rb"(?<![\w.-])" + re.escape(visitor_id.encode()) + rb"(?![\w-])")
    return lambda value: pattern.search(value) is not None


def scrub(
    settings: Settings, visitor_id: str, receipt: ErasureReceipt, tick: Callable[[str], object] = lambda _: None
) -> Scrubbed:
    """Cut the visitor's raw events and dead letters off, see above.

    Args:
        settings: of the cluster.
        visitor_id: whom to forget.
        receipt: of the erasure.
        tick: told what is being done.

    Raises:
        BrokerUnavailable: the broker refuses.
        ConfigurationError: the receipt is another visitor's.
    """
    key = message_key(receipt.tenant_id, visitor_id)
    if visitor_digest(key) != receipt.visitor_digest:
        message = f"the receipt {receipt.request_id} is not that of visitor {visitor_id!r}"
        raise ConfigurationError(message)
    try:
        tick("raw events")
        events, cut = _cut_events(settings, key, receipt)
        tick("dead letters")
        letters, copied = _cut_letters(settings, key, receipt, mentions(visitor_id))
        with _producer(settings) as producer:
            producer.send(settings.kafka.topic_prefix + ERASURES, None, key=key).get(timeout=10)
    except KafkaError as error:
        message = f"the visitor's records could not be cut off: {type(error).__name__}: {error}"
        raise BrokerUnavailable(message) from error
    return Scrubbed(events, cut, letters, copied)


def _cut_events(settings: Settings, key: bytes, receipt: ErasureReceipt) -> tuple[int, int]:
    with TopicReader(settings.kafka, EVENTS, [receipt.partition]) as reader:
        reader.rewind()
        place = reader.places[0]
        start = reader.consumer.position(place)
        theirs = sum(r.key == key and r.offset < receipt.done_before for r in reader.until_now())
    if start < receipt.done_before:
        _delete_before(settings, {place: receipt.done_before})
    return theirs, max(0, receipt.done_before - start)


def _cut_letters(
    settings: Settings, key: bytes, receipt: ErasureReceipt, is_mentioned: Callable[[bytes], bool]
) -> tuple[int, int]:
    removed = copied = 0
    with TopicReader(settings.kafka, DEAD_LETTERS) as reader, _producer(settings) as producer:
        reader.rewind()
        held: dict[TopicPartition, list[Any]] = {place: [] for place in reader.places}
        for record in reader.until_now():
            held[TopicPartition(record.topic, record.partition)].append(record)
        for place, records in held.items():
            others = [r for r in records if not _is_of(r, key, is_mentioned)]
            if not records or (len(others) == len(records) and place.partition != receipt.partition):
                continue
            copies = [producer.send(place.topic, r.value, r.key, list(r.headers), place.partition, r.timestamp) for r in others]
            for copy in copies:  # flush does not tell of a refusal, and what is not copied must not be cut
                copy.get(timeout=30)
            _delete_before(settings, {place: records[-1].offset + 1})
            removed += len(records) - len(others)
            copied += len(others)
    return removed, copied


def _is_of(record: Any, key: bytes, is_mentioned: Callable[[bytes], bool]) -> bool:
    return record.key == key or is_mentioned(record.value or b"") or is_mentioned(record.key or b"")


def _delete_before(settings: Settings, ends: dict[TopicPartition, int]) -> None:
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka), bootstrap_timeout_ms=CONNECT_MS)
    try:
        admin.delete_records(ends)
    finally:
        admin.close()


def _producer(settings: Settings) -> Any:
    return closing(KafkaProducer(**kafka_python_options(settings.kafka), acks="all", bootstrap_timeout_ms=CONNECT_MS))
