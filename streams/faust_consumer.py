"""Faust's Kafka consumer without three of its defects; docs/guarantees.md lists them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Set
from typing import Any

from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

FETCH_WAIT_MS = 100


class _Forgetful(defaultdict[Any, Any]):
    """A memory of read offsets that is always empty."""

    def __getitem__(self, key: Any) -> None:
        return None

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        pass


class BriskThread(AIOKafkaConsumerThread):
    """Faust's consumer thread with short fetches that take nothing while the flow is stopped.

    Faust's fetches wait 1.5 s at the broker, these a tenth of a second. A fetch on its way asks only for the partitions that
    were active when it was sent. After a start or a rebalance, those that are resumed meanwhile are asked for when it comes
    back: the first event of each would wait for all of the 1.5 s.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust gives it a constant; read when it starts
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Set[Any],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[Any, list[Any]]:
        """Records of the partitions that are active now, while the flow is on; waits `timeout` seconds for the first.

        Faust looks at the flow once and then waits for up to a second in aiokafka, to which an empty set of partitions means
        all of them. At a rebalance the flow stops and every partition is paused: what comes in just then, the changelog's
        records among it, is taken, moves the positions on, and is dropped. After the recovery's seek that makes the recovery
        wait for ever, or do without the sessions of those records. Here looking and taking are one step of the thread's loop.
        """
        fetcher, deadline = consumer._fetcher, time.monotonic() + (timeout or 0.0)  # noqa: SLF001 - as in Faust's own
        subscriptions = fetcher._subscriptions  # noqa: SLF001
        with subscriptions.fetch_context():
            while self.consumer.flow_active:
                if consumer._closed or fetcher._closed:  # noqa: SLF001
                    raise ConsumerStoppedError
                active = frozenset(active_partitions)  # the main thread changes the set; a copy is one step of the interpreter
                if active and not subscriptions.reassignment_in_progress:
                    records: dict[Any, list[Any]] = await fetcher.fetched_records(active, timeout=0, max_records=max_records)
                    if records:
                        return records
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                arrival = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([arrival], timeout=remaining)
                if done:
                    arrival.result()  # raises what the fetcher met
                else:
                    arrival.cancel()
        return {}


class PassingConsumer(Consumer):
    """Faust's consumer, passing on whatever it fetches, as soon as it is there.

    Faust drops records at or below the last one that it read. A seek back races with the batch that is being passed on:
    that batch raises the mark again, and what was sought is dropped. Order is kept by `streams.contiguity` anyway.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgetful()

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return BriskThread(self, loop=self.loop, beacon=self.beacon)
