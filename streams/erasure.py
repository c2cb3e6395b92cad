"""One erasure request: everything that the worker keeps of a visitor is removed, then a receipt is written.

The order makes it safe to do it again after a crash: state, ids, page and learned sessions first, then the receipt, and only
then is the request acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from contracts.erasures import (
    REMAINS,
    REMOVED,
    ErasureReceipt,
    ErasureRequest,
    decode_request,
    encode_erasure,
    visitor_digest,
)
from contracts.errors import ContractError
from contracts.topics import ERASURE_RECEIPTS, PAGES
from streams.batch import Incoming
from streams.forgetting import Forgetting
from streams.ports import Clock, Record

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.1


class Positions(Protocol):
    """How far a partition of the events topic is done."""

    async def committed(self, partition: int) -> int:
        """The next event that is not done."""
        ...

    async def end(self, partition: int) -> int:
        """The offset that the next event will get."""
        ...


@dataclass(frozen=True)
class Eraser:
    """Carries out requests of `shop.erasures.v1`.

    Args:
        forgetting: of the sessions.
        topic_prefix: before every topic name.
        clock: for the receipt.
        events: of the same partitions as the requests.
        is_ours: whether the request's partition is still this worker's.
        forget_learned: makes the rankers forget the visitor's sessions.
    """

    forgetting: Forgetting
    topic_prefix: str
    clock: Clock
    events: Positions
    is_ours: Callable[[Incoming], bool]
    forget_learned: Callable[[bytes], Awaitable[None]]

    async def erase(self, incoming: Incoming) -> bool:
        """Forget the visitor that the record's key names.

        Events that had arrived before are waited for, since they would bring the visitor back.

        Returns:
            Whether it is done; False when the partition has moved to another worker.

        Raises:
            BrokerUnavailable: something was not acknowledged; do it again.
        """
        key, partition = incoming.key, incoming.partition
        if key is None or incoming.value is None:  # the request was taken off the topic after it was carried out
            return True
        request = _request(incoming)
        end = await self.events.end(partition)
        while await self.events.committed(partition) < end:
            if not self.is_ours(incoming):
                return False
            await asyncio.sleep(_POLL_SECONDS)
        page = Record(self.topic_prefix + PAGES, key, None)
        if not await self.forgetting.erase([(key, partition)], [page]):
            return False
        await self.forget_learned(key)
        receipt = ErasureReceipt(
            request_id=request.request_id,
            tenant_id=key.partition(b"|")[0].decode(errors="replace"),
            visitor_digest=visitor_digest(key),
            request_time=request.request_time or incoming.timestamp,
            completed_time=self.clock.wall_ms(),
            partition=partition,
            done_before=end,
            removed=REMOVED,
            remains=REMAINS,
        )
        log, prefix = self.forgetting.delivery.log, self.topic_prefix
        await log.write([Record(prefix + ERASURE_RECEIPTS, request.request_id.encode(), encode_erasure(receipt))])
        return True


def _request(incoming: Incoming) -> ErasureRequest:
    """The request; one that cannot be read is carried out all the same, under an id made of its place."""
    try:
        return decode_request(incoming.value or b"")
    except ContractError as error:
        _LOG.warning("an erasure request breaks the contract and is carried out", extra={"error": error.code})
        made = uuid5(NAMESPACE_URL, f"erasure:{incoming.partition}:{incoming.offset}")
        return ErasureRequest(str(made), incoming.timestamp)
