"""Bytes from outside never crash the decoder: each payload is an event within the limits or a contract error with a code."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from contracts.errors import ContractError, InvalidField, contract_codes
from contracts.events import Event, decode_event
from nemesis.mutation import SEEDS, mutated

PAYLOADS = 100_000
# A clock and a message key are not in the payload; a tensor is no payload; nothing here reaches the limit of bytes.
NOT_OF_THE_BYTES = {"contract_error", "tensor_mismatch", "picture_refused", "clock_skew", "wrong_key", "oversized"}
YEAR_2100 = 4_102_444_800_000


def test_a_hundred_thousand_mutated_payloads_become_an_event_or_a_contract_error() -> None:
    rng = random.Random(20261124)
    outcomes: Counter[str] = Counter()
    paths: set[str] = set()
    for _ in range(PAYLOADS):
        try:
            event = decode_event(mutated(rng, rng.choice(SEEDS)))
        except ContractError as error:
            outcomes[error.code] += 1
            paths.add(error.path[:1])
        else:
            assert isinstance(event, Event)
            assert 0 <= event.time <= YEAR_2100
            outcomes["event"] += 1
    assert outcomes.total() == PAYLOADS
    assert paths == {"$"}
    # A mutator that only ever breaks the JSON would prove little: every kind of outcome has to occur.
    assert set(outcomes) == {"event", *contract_codes()} - NOT_OF_THE_BYTES


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"])
def test_a_time_written_as_text_has_the_limits_of_a_time_in_milliseconds(moment: str) -> None:
    value = f'{{"event_id":"e","event_name":"login","event_time":"{moment}","visitor_id":"v"}}'.encode()
    with pytest.raises(InvalidField, match="1970 to 2100"):
        decode_event(value)
