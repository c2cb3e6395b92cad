"""The way from a folded batch to pages: one call of the ranker, the rules, the message. Ports as arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from contracts.errors import DependencyError, RankerTimeout, RankerUnavailable
from contracts.recommendations import (
    FallbackReason,
    Latency,
    Model,
    PageRecommendation,
    Source,
    encode_page,
)
from contracts.settings import PageSettings, SessionSettings
from contracts.tensors import Effort
from monitoring.metrics import WorkerMetrics
from streams.batch import Batch, Visit
from streams.exposure import lifted, rarity
from streams.items import ItemView
from streams.ladder import Ladder, Pace, Rung
from streams.page import SOURCES, Scored, attribution_token, mixed, placement, recommendation_id, showable
from streams.ports import Answer, Clock, Ranker, Record
from streams.ranking import Encoder, is_current, request
from streams.sessions import SessionState, encoded, excluded

POOL = 3  # candidates per slot that the rules choose from
_ENCODER_CHANGES = 3  # times that one batch is sent anew because another encoder answered
_TRACE_HEADERS = ("traceparent", "tracestate")


@dataclass(frozen=True)
class Refreshed:
    """One visitor's page and the state to be written after it; `state` None leaves nothing behind.

    `withheld` tells that consent was off at some event of the batch, so nothing of before it may stay.
    """

    key: bytes
    partition: int
    page: Record
    state: SessionState | None
    had_state: bool
    page_type: str
    degraded: bool
    withheld: bool = False


@dataclass(frozen=True)
class Ranked:
    """An answer with its cost, or why there is none."""

    answer: Answer | None
    fallback_reason: FallbackReason | None
    rpc_seconds: float


@dataclass
class Refresher:
    """Turns folded batches into pages; keeps only which encoder is serving.

    Args:
        ranker: the model behind Triton, or a fake.
        view: metadata of the live items.
        clock: wall clock for the times of the page, monotonic for the stages.
        session: bounds of the state.
        page: size, diversity, expiry and signing secret.
        pages_topic: where pages go.
        metrics: the worker's metrics.
        on_ranked: told each answer and the visits that it is for; must not take time.
        slow_seconds: past it a usual call of the ranker is slow, and it is asked for less.
    """

    ranker: Ranker
    view: ItemView
    clock: Clock
    session: SessionSettings
    page: PageSettings
    pages_topic: str
    metrics: WorkerMetrics
    on_ranked: Callable[[Sequence[Visit], Answer], object] = lambda _visits, _answer: None
    slow_seconds: float = float("inf")
    encoder: Encoder = field(default_factory=Encoder)
    _shown: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """The rungs below the ranker."""
        self.ladder = Ladder(self.view, self.page.grid_size, Pace(self.slow_seconds))

    async def refresh(self, batch: Batch, taken_at: float, queue_ms: dict[bytes, float]) -> list[Refreshed]:
        """Pages and next states for every visit of the batch.

        Args:
            batch: the folded batch.
            taken_at: monotonic seconds when the batch was taken from the queue.
            queue_ms: milliseconds that each visit's trigger had waited by then, by key.
        """
        visits = list(batch.visits.values())
        if not visits:
            return []
        folded_at = self.clock.monotonic()
        ranked = await self._rank(visits)
        stages = _Stages((folded_at - taken_at) * 1000, ranked, self.clock.monotonic())
        self._observe(stages)
        refreshed = [self._refreshed(visit, row, ranked, stages, queue_ms[visit.key]) for row, visit in enumerate(visits)]
        self.metrics.stage.labels("rules").observe(self.clock.monotonic() - stages.rules_started)
        for source, count in self._shown.items():
            self.metrics.placement_items.labels(SOURCES[source]).inc(count)
        self._shown.clear()
        return refreshed

    async def _rank(self, visits: Sequence[Visit]) -> Ranked:
        rows = [(visit.trigger.tenant_id, visit.state) for visit in visits]
        started = self.clock.monotonic()
        effort = self.ladder.pace.effort
        try:
            answer = await self._answer(rows, effort)
        except RankerTimeout:
            return Ranked(None, "triton_timeout", self.clock.monotonic() - started)
        except DependencyError:
            return Ranked(None, "triton_down", self.clock.monotonic() - started)
        self.on_ranked(visits, answer)
        self.metrics.index_version.set(answer.index_version)
        reason: FallbackReason | None = "triton_slow" if effort is Effort.REDUCED else None
        seconds = self.clock.monotonic() - started
        self.ladder.pace.observe(seconds)
        return Ranked(answer, "cold_catalog" if answer.index_size == 0 else reason, seconds)

    async def _answer(self, rows: Sequence[tuple[str, SessionState]], effort: Effort) -> Answer:
        """The answer of the encoder that the states were sent for: a state never mixes two of them."""
        for _ in range(_ENCODER_CHANGES):
            sent_for = self.encoder
            answer = await self.ranker.rank(request(rows, sent_for, effort))
            if answer.model_version == sent_for.version:
                return answer
            # Another encoder serves than the states were sent for: learn which, and ask again with states rebuilt.
            self.encoder = Encoder(answer.model_version, answer.state.shape[1])
            self.metrics.model.info({"name": Rung.RANKED.value, "version": str(answer.model_version)})
            if not any(state.encoder or state.recent for _, state in rows):
                return answer
        message = f"another model answered each of {_ENCODER_CHANGES} times that a batch was sent"
        raise RankerUnavailable(message)

    def _observe(self, stages: _Stages) -> None:
        for stage, milliseconds in (("fold", stages.fold_ms), ("rpc", stages.rpc_ms), ("model", stages.model_ms)):
            self.metrics.stage.labels(stage).observe(milliseconds / 1000)

    def _refreshed(self, visit: Visit, row: int, ranked: Ranked, stages: _Stages, queue_ms: float) -> Refreshed:
        state = visit.state
        if ranked.answer is not None:
            rebuilt = state if is_current(state, self.encoder) else _forgotten(state)
            state = encoded(rebuilt, ranked.answer.state[row].tobytes(), ranked.answer.model_version, self.session)
            self.ladder.learn(visit)
        chosen, rung = self.ladder.fill(visit, self._ranked_items(visit, row, ranked))
        page = self._page(visit, chosen, rung, stages, queue_ms)
        if page.fallback_reason is not None:
            self.metrics.fallbacks.labels(page.fallback_reason).inc()
        self._shown.update([candidate.source for candidate in chosen])
        headers = tuple(header for header in visit.incoming.headers if header[0] in _TRACE_HEADERS)
        record = Record(self.pages_topic, visit.key, encode_page(page), headers=headers)
        return Refreshed(
            key=visit.key,
            partition=visit.incoming.partition,
            page=record,
            state=state if visit.is_stored else None,
            had_state=visit.had_state,
            page_type=page.page_type,
            degraded=page.degraded,
            withheld=visit.withheld,
        )

    def _ranked_items(self, visit: Visit, row: int, ranked: Ranked) -> list[Scored] | None:
        """What may be shown of the ranker's answer, categories mixed; None without an answer."""
        answer, size = ranked.answer, self.page.grid_size
        if answer is None:
            return None
        hidden = set(excluded(visit.state))
        found = showable(self.view, answer.items[row].tolist(), hidden, visit.incoming.timestamp, POOL * size)
        if self.page.exposure:
            rare = rarity([card.popularity for _, card in found], [card.seller for _, card in found])
            found = [found[place] for place in lifted(rare, self.page.exposure)]
        # Items of a category page share their department, so only the full path can mix them.
        categories = [card.category for _, card in found]
        scores = answer.scores[row, [position for position, _ in found]].tolist()
        chosen = []
        # After a lift a place has the worth of the score that stood there before it.
        worth = sorted(scores, reverse=True) if self.page.exposure else scores
        for place in mixed(categories, worth, size, self.page.diversity):
            position, card = found[place]
            text, image, behaviour = answer.shares[row, position].tolist()
            voices = tuple(answer.voices[row, position].tolist()) if answer.voices is not None else ()
            source = int(answer.sources[row, position])
            chosen.append(Scored(card, scores[place], source, (text, image, behaviour), voices))
        return chosen

    def _page(self, visit: Visit, chosen: Sequence[Scored], rung: Rung, stages: _Stages, queue_ms: float) -> PageRecommendation:
        state, event, incoming, ranked = visit.state, visit.trigger, visit.incoming, stages.ranked
        reason = ranked.fallback_reason or ("cold_catalog" if rung is Rung.LAST_PAGE else None)
        version = ranked.answer.model_version if ranked.answer is not None else 0
        identity = recommendation_id(visit.key, incoming.partition, incoming.offset, version)
        secret = self.page.signing_secret.get_secret_value().encode()
        missing = (item.item_id for item in event.items if not self.view.knows(event.tenant_id, item.item_id))
        generated = self.clock.wall_ms()
        received = event.received_at or incoming.timestamp
        return PageRecommendation(
            recommendation_id=identity,
            attribution_token=attribution_token(identity, version, state.experiment_ids, secret),
            tenant_id=event.tenant_id,
            visitor_id=event.visitor_id,
            user_id=state.user_id,
            session_id=state.session_id,
            page_view_id=state.page_view_id,
            page_type=state.page_type,
            trigger_event_id=event.event_id,
            trigger_event_time=event.time,
            generated_time=generated,
            expire_time=generated + int(self.page.expire_seconds * 1000),
            sequence=state.sequence,
            source=Source(incoming.partition, incoming.offset),
            index_version=ranked.answer.index_version if ranked.answer is not None else 0,
            placements=(placement(state.page_type, chosen),),
            model=Model(rung.value, str(version)),
            experiment_ids=state.experiment_ids,
            missing_ids=tuple(dict.fromkeys(missing)),
            degraded=reason is not None,
            fallback_reason=reason,
            latency_ms=stages.latency(queue_ms, self.clock.monotonic(), max(0.0, float(generated - received))),
            learned_version=ranked.answer.learned_version if ranked.answer is not None else 0,
        )


def _forgotten(state: SessionState) -> SessionState:
    """The state whose touches have all to be encoded anew, as :func:`streams.ranking.request` sent them."""
    return msgspec.structs.replace(state, recent=(), pending=state.recent + state.pending)


@dataclass(frozen=True)
class _Stages:
    """Durations of a batch, shared by its pages."""

    fold_ms: float
    ranked: Ranked
    rules_started: float

    @property
    def rpc_ms(self) -> float:
        return self.ranked.rpc_seconds * 1000

    @property
    def model_ms(self) -> float:
        return sum(self.ranked.answer.timing_us) / 1000 if self.ranked.answer is not None else 0.0

    def latency(self, queue_ms: float, now: float, event_to_emit: float) -> Latency:
        """The page's `latency_ms`; rules is the time since the ranker's answer, the batch's earlier pages included."""
        step, retrieve, rank = self.ranked.answer.timing_us if self.ranked.answer is not None else (0.0, 0.0, 0.0)
        return Latency(
            queue=round(queue_ms, 3),
            fold=round(self.fold_ms, 3),
            rpc=round(self.rpc_ms, 3),
            session_update=round(step / 1000, 3),
            retrieval=round(retrieve / 1000, 3),
            inference=round(rank / 1000, 3),
            rules=round((now - self.rules_started) * 1000, 3),
            event_to_emit=event_to_emit,
        )
