"""From batch to page: fallback, catching up after it, another encoder, consent."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import DependencyError, InvalidField, RankerTimeout, RankerUnavailable
from contracts.recommendations import PageRecommendation, decode_page
from contracts.settings import Settings
from monitoring.metrics import WorkerMetrics
from streams.batch import Batch, Incoming, dead_letter, fold
from streams.ports import Record
from streams.refresh import Refreshed, Refresher
from streams.sessions import SessionState
from streams.triton import Breaker
from tests.fakes import FakeRanker, ManualClock, event_bytes, keys_of, view_of

NOW = 1_800_000_000_000
SETTINGS = Settings()


class Shop:
    """One visitor's worker, without delivery."""

    def __init__(self, ranker: FakeRanker | None = None) -> None:
        self.ranker = ranker or FakeRanker(keys_of(20))
        self.refresher = Refresher(
            self.ranker,
            view_of(20),
            ManualClock(NOW),
            SETTINGS.session,
            SETTINGS.page,
            "pages",
            WorkerMetrics.create(CollectorRegistry()),
        )
        self.states: dict[bytes, SessionState | None] = {}
        self.offset = 0

    def batch(self, *events: tuple[bytes, bytes]) -> Batch:
        records = []
        for key, value in events:
            records.append(Incoming(0, self.offset, key, value, NOW))
            self.offset += 1
        return fold(records, self.states.get, SETTINGS.session, events_topic="events", dead_letter_topic="dead")

    def pages(self, *events: tuple[bytes, bytes]) -> list[PageRecommendation]:
        batch = self.batch(*events)
        done: list[Refreshed] = asyncio.run(self.refresher.refresh(batch, NOW / 1000, dict.fromkeys(batch.visits, 0.0)))
        self.states.update({item.key: item.state for item in done})
        return [decode_page(item.page.value or b"") for item in done]


def shown(page: PageRecommendation) -> list[str]:
    return [item.item_id for item in page.placements[0].items]


def test_several_events_of_a_visitor_give_one_page_for_the_last() -> None:
    shop = Shop()
    (page,) = shop.pages(*(event_bytes("v", n, NOW) for n in range(3)))
    assert (page.sequence, page.source.offset, page.trigger_event_id) == (3, 2, "v-2")


def test_coalescing_gives_the_state_that_single_events_give() -> None:
    together, apart = Shop(), Shop()
    events = [event_bytes("v", n, NOW) for n in range(5)]
    (last,) = together.pages(*events)
    for each in events:
        pages = apart.pages(each)
    assert together.states == apart.states
    assert shown(last) == shown(pages[0])


@pytest.mark.parametrize(
    ("error", "reason"), [(RankerTimeout("slow"), "triton_timeout"), (RankerUnavailable("gone"), "triton_down")]
)
def test_without_the_ranker_the_page_is_a_flagged_fallback(error: DependencyError, reason: str) -> None:
    shop = Shop(FakeRanker(keys_of(20), error=error))
    (page,) = shop.pages(event_bytes("v", 1, NOW))
    assert (page.degraded, page.fallback_reason) == (True, reason)
    assert len(shown(page)) == SETTINGS.page.grid_size


def test_what_happened_during_the_fallback_is_caught_up_afterwards() -> None:
    events = [event_bytes("v", n, NOW) for n in range(6)]
    steady, troubled = Shop(), Shop()
    for number, each in enumerate(events):
        troubled.ranker.error = RankerUnavailable("gone") if number in (2, 3) else None
        (expected,), (page,) = steady.pages(each), troubled.pages(each)
    assert steady.states == troubled.states
    assert shown(page) == shown(expected)


def test_another_encoder_gets_the_session_replayed() -> None:
    shop, fresh = Shop(), Shop(FakeRanker(keys_of(20), version=2))
    events = [event_bytes("v", n, NOW) for n in range(4)]
    for each in events[:3]:
        shop.pages(each)
        fresh.pages(each)
    shop.ranker.version = 2
    (page,), (expected,) = shop.pages(events[3]), fresh.pages(events[3])
    assert shop.states == fresh.states
    assert shown(page) == shown(expected)
    assert page.model.version == "2"


def test_cart_items_are_not_shown() -> None:
    shop = Shop()
    (before,) = shop.pages(event_bytes("v", 1, NOW))
    target = shown(before)[0]
    (after,) = shop.pages(event_bytes("v", 2, NOW, "add_to_cart", items=[{"item_id": target}]))
    assert target not in shown(after)


def test_unknown_items_are_named_and_do_not_stop_the_page() -> None:
    (page,) = Shop().pages(event_bytes("v", 1, NOW, items=[{"item_id": "nobody"}, {"item_id": "i1"}]))
    assert page.missing_ids == ("nobody",)
    assert shown(page)


def test_without_consent_the_page_is_contextual_and_nothing_is_kept() -> None:
    shop = Shop()
    shop.pages(event_bytes("v", 1, NOW))
    (page,) = shop.pages(event_bytes("v", 2, NOW, consent={"personalization": False, "ads": False}))
    assert page.sequence == 0
    assert shop.states[b"default|v"] is None


def test_two_visitors_never_mix() -> None:
    shop, alone = Shop(), Shop()
    mine = [event_bytes("a", n, NOW) for n in (1, 2)]
    both = shop.pages(mine[0], event_bytes("b", 7, NOW), mine[1], event_bytes("b", 9, NOW))
    (own,) = alone.pages(*mine)
    page = next(page for page in both if page.visitor_id == "a")
    assert shown(page) == shown(own)


@pytest.mark.parametrize(
    ("value", "code", "path"),
    [
        (b"not json", "malformed", "$"),
        (b'{"event_id":"e"}', "invalid_field", "$.event_name"),
        (b"x" * 300_000, "oversized", "$"),
        (event_bytes("v", 1, NOW, schema_version="2-0-0")[1], "unknown_version", "$.schema_version"),
        (event_bytes("other", 1, NOW)[1], "wrong_key", "key"),
        (event_bytes("v", 1, NOW + 4_000_000)[1], "clock_skew", "$.event_time"),
    ],
)
def test_a_broken_event_becomes_a_dead_letter_with_its_reason_and_bytes(value: bytes, code: str, path: str) -> None:
    good = event_bytes("v", 5, NOW)
    batch = Shop().batch((b"default|v", value), good)
    (dead,) = batch.dead
    headers = dict(dead.headers)
    assert (headers["dlq.error.code"].decode(), headers["dlq.error.path"].decode()) == (code, path)
    assert dead.value == value
    assert list(batch.visits) == [good[0]]


def test_a_dead_letter_can_always_be_written() -> None:
    error = InvalidField("x" * 9_000, path="$")

    def letter(key: bytes | None, value: bytes | None, *headers: tuple[str, bytes]) -> Record:
        incoming = Incoming(0, 7, key, value, NOW, headers)
        return dead_letter(incoming, error, topic="dead", source_topic="events", stage="fold")[0]

    assert letter(None, None).value == b""
    assert letter(b"default|v", None).value is None
    whole = letter(b"default|v", b"x" * 500_000, ("traceparent", b"t"))
    assert (len(whole.value or b""), dict(whole.headers)["traceparent"]) == (500_000, b"t")
    assert "dlq.error.truncated" not in dict(whole.headers)
    cut = letter(b"k" * 900_000, b"x" * 1_048_300, ("other", b"h" * 900_000))
    size = len(cut.key or b"") + len(cut.value or b"") + sum(len(name) + len(held) for name, held in cut.headers)
    assert size < 600_000
    assert dict(cut.headers)["dlq.error.truncated"] == b"900000 1048300 900005"


def test_a_shops_clock_that_runs_ahead_does_not_move_the_clock_by_which_sessions_expire() -> None:
    ahead, last_month = (
        Shop().batch(event_bytes("v", 1, NOW + 3_000_000)),
        Shop().batch(event_bytes("v", 1, NOW - 30 * 86_400_000)),
    )
    assert ahead.watermarks == {(0, "default"): NOW}
    assert last_month.watermarks == {(0, "default"): NOW - 30 * 86_400_000}  # a replay has its own


def test_a_page_message_has_every_field_of_the_contract() -> None:
    shop = Shop()
    batch = shop.batch(event_bytes("v", 1, NOW))
    (done,) = asyncio.run(shop.refresher.refresh(batch, NOW / 1000, {b"default|v": 1.0}))
    page = msgspec.json.decode(done.page.value or b"")
    assert set(page) >= {
        "recommendation_id",
        "attribution_token",
        "sequence",
        "source",
        "index_version",
        "placements",
        "latency_ms",
    }
    assert set(page["latency_ms"]) >= {"queue", "session_update", "retrieval", "inference", "rules", "event_to_emit"}


def test_the_breaker_opens_after_failures_and_lets_a_probe_through() -> None:
    now = [0.0]
    breaker = Breaker(2, 1.0, lambda: now[0])
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    now[0] = 1.1
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
