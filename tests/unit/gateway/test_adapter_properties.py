"""Whatever JSON comes, an adapter answers with events that keep the contract, with problems, or with nothing."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import decode_event
from gateway.adapters.registry import ADAPTERS
from gateway.foreign import parse_foreign
from gateway.problem import Problem

GOLDEN = sorted((Path(__file__).resolve().parents[2] / "golden" / "adapters").glob("*/*.json"))
BY_NAME = {adapter.name: adapter for adapter in ADAPTERS}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.just([]),
    st.just({}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for name, child in inner for place in places(child, (*path, name))]


def replaced(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The payload with another value at one place."""
    if not path:
        return value
    changed = copy.deepcopy(payload)
    parent = changed
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return changed


@settings(max_examples=150, deadline=None)
@given(case=st.sampled_from(GOLDEN), seed=st.integers(0, 2**32), values=st.lists(SCALARS, min_size=1, max_size=4))
def test_a_damaged_payload_never_crashes_an_adapter(case: Path, seed: int, values: list[Any]) -> None:
    golden = json.loads(case.read_text())
    payload, rng = golden["payload"], random.Random(seed)
    for value in values:
        payload = replaced(payload, rng.choice(places(payload)), value)
    refused = 422
    try:
        parsed, _ = parse_foreign(
            json.dumps(payload).encode(),
            BY_NAME[case.parent.name],
            query=golden["query"],
            received_at=1_766_500_010_000,
            tenant_id="default",
            batch_max=100,
        )
    except Problem as problem:
        refused = problem.status
    else:
        for record in parsed.records:
            decode_event(record.value)
        for entry in parsed.problems:
            assert entry["field"].startswith("$")
            assert len(entry["detail"]) < 2000
    assert refused in (400, 413, 422)
