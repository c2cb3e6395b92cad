"""Law 0: what the broker said it has is in the topic, byte for byte."""

from nemesis.topic import Stored, digest_of
from nemesis.workload import Traffic


def stored(offset: int, value: bytes) -> Stored:
    return Stored(0, offset, b"default|v", value, 0, ())


def test_what_was_acknowledged_and_is_not_there_or_is_another_remains() -> None:
    traffic = Traffic.__new__(Traffic)  # without a broker
    traffic.acknowledged = {(0, offset): digest_of(b"event %d" % offset) for offset in range(4)}
    records = [stored(0, b"event 0"), stored(1, b"another"), stored(2, b"event 2")]
    assert list(traffic.missing(records)) == records
    assert sorted(traffic.acknowledged) == [(0, 1), (0, 3)]
