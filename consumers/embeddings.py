"""Watching items become recommendable: `shop.item_embeddings.v1`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from consumers.topic_reader import TopicReader
from contracts.catalog import CatalogItem
from contracts.decoding import decode
from contracts.errors import ContractError
from contracts.keys import split_key
from contracts.settings import KafkaSettings
from contracts.topics import ITEM_EMBEDDINGS


class _Encoded(msgspec.Struct, frozen=True):
    """What is read of an embedding record; the decoder skips the vectors."""

    item_id: str
    tenant_id: str
    model_version: int
    item: CatalogItem | None = None


_DECODER = msgspec.json.Decoder(_Encoded)


def encoded_items(settings: KafkaSettings) -> dict[tuple[str, str], tuple[CatalogItem, int]]:
    """Products that are recommendable now with the version of the model that encoded them, by (tenant, item).

    Raises:
        BrokerUnavailable: if no broker answers.
    """
    found: dict[tuple[str, str], tuple[CatalogItem, int]] = {}
    with TopicReader(settings, ITEM_EMBEDDINGS) as reader:
        reader.rewind()
        for record in reader.until_now():
            place = split_key(record.key)
            try:
                encoded = decode(_DECODER, record.value) if record.value is not None else None
            except ContractError:  # an older build's record counts as none: the product is published again
                encoded = None
            if encoded is None or encoded.item is None:
                found.pop(place, None)
            else:
                found[place] = encoded.item, encoded.model_version
    return found


class EncodingProgress:
    """Counts how many of a set of items were encoded since it was entered.

    Args:
        settings: the cluster.
        patience_seconds: give up after this long without any of them.
    """

    def __init__(self, settings: KafkaSettings, patience_seconds: float = 60.0) -> None:
        self._reader = TopicReader(settings, ITEM_EMBEDDINGS)
        self._patience = patience_seconds

    def __enter__(self) -> Self:
        """Connect at the end of the topic.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        self._reader.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, trace)

    def encoded(self, wanted: set[tuple[str, str]]) -> Iterator[int]:
        """How many of `wanted` (tenant, item) are encoded, again and again; takes them out of the set as they come.

        Ends when the set is empty or nothing came for `patience_seconds`.
        """
        total = len(wanted)
        last = time.monotonic()
        while wanted and time.monotonic() - last < self._patience:
            for record in self._reader.poll():
                place = split_key(record.key)
                if record.value is not None and place in wanted:
                    wanted.discard(place)
                    last = time.monotonic()
            yield total - len(wanted)
