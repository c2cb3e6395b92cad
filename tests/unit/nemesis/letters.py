"""What the worker writes of an event that it cannot take."""

from __future__ import annotations

from contracts.errors import ContractError
from nemesis.topic import Stored
from streams.batch import Incoming, dead_letter, read


def dead_letter_of(event: Stored) -> Stored:
    """Its dead letter as the broker keeps it; for a good event one that a mistaken worker would have written."""
    incoming = Incoming(event.partition, event.offset, event.key, event.value, event.timestamp, event.headers)
    try:
        read(incoming)
        error = ContractError("nothing is wrong with it", path="$")
    except ContractError as found:
        error = found
    record, _ = dead_letter(incoming, error, topic="a-dlq", source_topic="a-prefix.events", stage="fold")
    return Stored(event.partition, 0, record.key or b"", record.value, event.timestamp, tuple(record.headers))
