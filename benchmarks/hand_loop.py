"""What one would write by hand on confluent-kafka, as the measure of what Faust and Triton cost.

    python -m benchmarks.hand_loop echo|inprocess|triton

`echo` copies events to the page topic. The others call the very fold, tensors, rules and page code of the product and
write the same pages and changelog records; one flush, then the offsets. No fence, no contiguity, no pipelining.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any, cast

import grpc
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from prometheus_client import CollectorRegistry
from tritonclient.grpc import service_pb2_grpc

from contracts.settings import Settings
from contracts.tensors import PAGE_RANKER_INPUTS, PAGE_RANKER_OUTPUTS
from contracts.topics import DEAD_LETTERS, EVENTS, ITEM_EMBEDDINGS, PAGES
from monitoring.metrics import WorkerMetrics
from nemesis.topic import read_topic
from streams.batch import Incoming, fold
from streams.inference import build_request, read_response
from streams.items import ItemView
from streams.liveness import SystemClock
from streams.ports import Answer, Tensors
from streams.refresh import Refresher
from streams.sessions import SessionState, encode_state
from streams.triton import MODEL, answer_of

GROUP = "hand-loop"
CHANGELOG = "hand-loop-changelog"


class BlockingRanker:
    """`streams.ports.Ranker` on a blocking gRPC channel."""

    def __init__(self, settings: Settings) -> None:
        self._deadline = settings.triton.ranker_deadline_ms / 1000
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(settings.triton.grpc_address))

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        request = build_request(MODEL, tensors, PAGE_RANKER_INPUTS)
        return answer_of(read_response(self._stub.ModelInfer(request, timeout=self._deadline), PAGE_RANKER_OUTPUTS))


class LocalRanker:
    """The served model in this process."""

    def __init__(self) -> None:
        from triton_models.serving import open_ranker  # noqa: PLC0415 - only this mode loads the model

        self._model = open_ranker().model

    async def rank(self, tensors: Tensors) -> Answer:
        """See `streams.ports.Ranker.rank`."""
        return answer_of(self._model.rank(tensors))


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    message = "the coroutine waited for something"
    raise RuntimeError(message)


def _incoming(message: Message) -> Incoming:
    """A record that was consumed; only one that was not has no place."""
    place = cast("tuple[int, int]", (message.partition(), message.offset()))
    return Incoming(*place, message.key(), message.value(), message.timestamp()[1])


class Loop:
    """Consume, work, produce, flush, commit.

    Args:
        settings: the prefix of the topics names the system; items are read under `items_prefix`.
        mode: echo, inprocess or triton.
        items_prefix: prefix of the item topic that Triton follows.
    """

    def __init__(self, settings: Settings, mode: str, items_prefix: str) -> None:
        prefix = settings.kafka.topic_prefix
        common = {"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 3}
        self._settings, self._prefix = settings, prefix
        self._producer = Producer({**common, "linger.ms": 0, "acks": "all", "enable.idempotence": True})
        self._consumer = Consumer(
            {**common, "group.id": prefix + GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False,
             "fetch.wait.max.ms": 100}
        )  # fmt: skip
        self._consumer.subscribe([prefix + EVENTS])
        self._states: dict[bytes, SessionState] = {}
        self._clock = SystemClock()
        self._refresher: Refresher | None = None
        if mode != "echo":
            view = ItemView()
            for record in read_topic(settings.kafka.model_copy(update={"topic_prefix": items_prefix}), ITEM_EMBEDDINGS):
                view.apply(record.key, record.value)
            ranker = BlockingRanker(settings) if mode == "triton" else LocalRanker()
            metrics = WorkerMetrics.create(CollectorRegistry())
            self._refresher = Refresher(ranker, view, self._clock, settings.session, settings.page, prefix + PAGES, metrics)

    def run(self) -> None:
        """Until killed."""
        while True:
            first = self._consumer.poll(0.1)
            if first is None or first.error() is not None:
                continue
            # consume() would wait for all 63; with a timeout of 0 it takes what is there.
            messages = [first, *(m for m in self._consumer.consume(63, 0) if m.error() is None)]
            incoming = [_incoming(message) for message in messages]
            if self._refresher is None:
                for one in incoming:
                    self._producer.produce(self._prefix + PAGES, one.value, key=one.key)
            else:
                self._refresh(incoming, self._refresher)
            self._producer.flush()
            offsets = {one.partition: one.offset + 1 for one in incoming}
            topic = self._prefix + EVENTS
            self._consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()], asynchronous=True)

    def _refresh(self, incoming: list[Incoming], refresher: Refresher) -> None:
        taken_at, wall = self._clock.monotonic(), self._clock.wall_ms()
        batch = fold(
            incoming,
            self._states.get,
            self._settings.session,
            events_topic=EVENTS,
            dead_letter_topic=self._prefix + DEAD_LETTERS,
        )
        waits = {key: max(0.0, float(wall - visit.incoming.timestamp)) for key, visit in batch.visits.items()}
        for done in finished(refresher.refresh(batch, taken_at, waits)):
            self._producer.produce(done.page.topic, done.page.value, key=done.key)
            if done.state is not None:
                self._states[done.key] = done.state
                self._producer.produce(
                    self._prefix + CHANGELOG, encode_state(done.state), key=done.key, partition=done.partition
                )


if __name__ == "__main__":
    Loop(Settings(), sys.argv[1], sys.argv[2]).run()
