"""The catalogue agent without Faust: catalogue records in, embedding records, deletions and dead letters out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.catalog import MODALITIES, CatalogItem, ItemEmbedding, decode_item, embedding_text, encode
from contracts.errors import ContractError, DependencyError, InvalidField
from contracts.keys import item_key, message_key, split_key
from contracts.settings import Settings
from contracts.tensors import MAX_TEXT_BYTES
from contracts.topics import CATALOG, DEAD_LETTERS, ITEM_EMBEDDINGS
from monitoring.metrics import CatalogMetrics
from streams.batch import Incoming, dead_letter
from streams.encoding import ItemEncoder, Pictures
from streams.pictures import PictureLoader, PictureUnavailable
from streams.ports import Record, Tensors

_LOG = logging.getLogger(__name__)
CACHE_ITEMS = 20_000
DECIMALS = 6
STAGE = "catalog"
_LOADERS = 4  # pictures at once


class Vectors(NamedTuple):
    """One item's part of an `Encoded`."""

    fused: NDArray[np.float32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]
    weights: NDArray[np.float32]
    missing: int


class Work(NamedTuple):
    """One product of a batch: where it came from and what its vectors depend on."""

    place: int
    incoming: Incoming
    item: CatalogItem
    content: bytes


class Made(NamedTuple):
    """One answer of the encoder: vectors by place, and the places where no picture is missing only for now."""

    model_version: int
    vectors: dict[int, Vectors]
    final: set[int]


class CatalogAgent:
    """Encodes catalogue records in batches.

    The same batch twice gives the same records but for `created_time`: writing them again changes nothing.

    Args:
        encoder: the model behind Triton, or a fake.
        pictures: loads pictures.
        metrics: of the catalogue worker.
        topics: full names of embeddings, dead letters, and the catalogue itself.
        wall_ms: milliseconds since the epoch.
    """

    def __init__(
        self,
        encoder: ItemEncoder,
        pictures: Pictures,
        metrics: CatalogMetrics,
        topics: tuple[str, str, str],
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._encoder = encoder
        self._pictures = pictures
        self._metrics = metrics
        self._embeddings, self._dead_letters, self._catalog = topics
        self._wall_ms = wall_ms
        self._cache: OrderedDict[bytes, Vectors] = OrderedDict()
        self._model_version = 0

    async def process(self, batch: Sequence[Incoming]) -> list[Record]:
        """What must be written and acknowledged before the batch may be; in the order of the batch.

        Of several records of one item in the batch only the newest counts.

        Raises:
            EncoderUnavailable: nothing of the batch is done; try it again.
        """
        newest = {incoming.key: place for place, incoming in enumerate(batch)}
        out: dict[int, Record] = {}
        work: list[Work] = []
        for place, incoming in enumerate(batch):
            if newest[incoming.key] != place:
                self._count("superseded")
                continue
            try:
                item = read_item(incoming)
            except ContractError as error:
                out[place] = self._bury(incoming, error)
                continue
            if item is None:
                out[place] = Record(self._embeddings, incoming.key, None)
                self._count("deleted")
            else:
                work.append(Work(place, incoming, item, content_hash(item)))
        if work:
            vectors = await self._vectors(work)
            for one in work:
                out[one.place] = self._record(one, vectors[one.place])
        return [out[place] for place in sorted(out)]

    def _count(self, outcome: str) -> None:
        self._metrics.records.labels(outcome).inc()

    def _bury(self, incoming: Incoming, error: ContractError) -> Record:
        record, reason = dead_letter(incoming, error, topic=self._dead_letters, source_topic=self._catalog, stage=STAGE)
        self._count("dead_letter")
        self._metrics.dead_letters.labels(reason).inc()
        return record

    async def _vectors(self, work: Sequence[Work]) -> dict[int, Vectors]:
        """Vectors by place; what has the same text and picture as before is not encoded again."""
        fresh = [one for one in work if one.content not in self._cache]
        # One is always encoded: the answer tells whether another model serves by now.
        made = await self._encode(fresh or work[:1])
        if made.model_version != self._model_version:
            self._cache.clear()
            if len(made.vectors) < len(work):
                made = await self._encode(work)
            self._model_version = made.model_version
        vectors = dict(made.vectors)
        for one in work:
            if one.place in vectors:
                self._count("encoded")
            else:
                self._cache.move_to_end(one.content)
                vectors[one.place] = self._cache[one.content]
                self._count("reused")
            if one.place in made.final:
                self._cache[one.content] = vectors[one.place]
        while len(self._cache) > CACHE_ITEMS:
            self._cache.popitem(last=False)
        return vectors

    async def _encode(self, work: Sequence[Work]) -> Made:
        items = [one.item for one in work]
        loaded = await asyncio.to_thread(self._load, items)
        encoded = await self._encoder.encode(_tensors(items, [pixels for pixels, _ in loaded]))
        vectors = {
            one.place: Vectors(
                encoded.fused[row], encoded.text[row], encoded.image[row], encoded.weights[row], int(encoded.missing[row])
            )
            for row, one in enumerate(work)
        }
        final = {one.place for one, (_, is_final) in zip(work, loaded, strict=True) if is_final}
        return Made(encoded.model_version, vectors, final)

    def _load(self, items: Sequence[CatalogItem]) -> list[tuple[NDArray[np.uint8] | None, bool]]:
        """Pixels of each item's main picture, or None, and whether that is final.

        Several at once, and a host that does not answer is asked no more for this batch: a shop's slow server must not look
        like a worker that stands still.
        """
        silent: set[str] = set()
        with ThreadPoolExecutor(_LOADERS) as threads:
            return list(threads.map(lambda item: self._picture(item, silent), items))

    def _picture(self, item: CatalogItem, silent: set[str]) -> tuple[NDArray[np.uint8] | None, bool]:
        if not item.images:
            return None, True
        uri = item.images[0].uri
        host = "/".join(uri.split("/", 3)[:3])
        try:
            if host not in silent:
                return self._pictures.load(uri), True
            self._metrics.pictures.labels("unavailable").inc()
        except (ContractError, DependencyError) as error:
            if isinstance(error, PictureUnavailable):
                silent.add(host)
            is_final = not error.retriable
            self._metrics.pictures.labels("refused" if is_final else "unavailable").inc()
            _LOG.warning("item is encoded without its picture", extra={"item_id": item.item_id, "error": str(error)})
            return None, is_final
        except Exception:  # noqa: BLE001 - whatever a picture is, the product beside it is encoded
            self._metrics.pictures.labels("refused").inc()
            _LOG.exception("item is encoded without its picture", extra={"item_id": item.item_id})
            return None, True
        return None, False

    def _record(self, work: Work, vectors: Vectors) -> Record:
        item, incoming = work.item, work.incoming
        embedding = ItemEmbedding(
            item_id=item.item_id,
            tenant_id=item.tenant_id,
            model_version=self._model_version,
            dim=len(vectors.fused),
            fused=_numbers(vectors.fused),
            text=() if vectors.missing & 1 else _numbers(vectors.text),
            image=() if vectors.missing & 2 else _numbers(vectors.image),
            weights=_numbers(vectors.weights),  # type: ignore[arg-type]
            missing_modalities=tuple(name for bit, name in enumerate(MODALITIES) if vectors.missing & 1 << bit),
            created_time=self._wall_ms(),
            catalog_time=incoming.timestamp,
            source_partition=incoming.partition,
            source_offset=incoming.offset,
            item=item,
        )
        return Record(self._embeddings, incoming.key, encode(embedding))


def catalog_agent(settings: Settings, metrics: CatalogMetrics, encoder: ItemEncoder) -> CatalogAgent:
    """The agent with its real pictures."""
    prefix = settings.kafka.topic_prefix
    return CatalogAgent(
        encoder=encoder,
        pictures=PictureLoader(settings.catalog),
        metrics=metrics,
        topics=(prefix + ITEM_EMBEDDINGS, prefix + DEAD_LETTERS, prefix + CATALOG),
    )


def read_item(incoming: Incoming) -> CatalogItem | None:
    """The product of a record; None means that it is gone.

    Raises:
        ContractError: the value breaks the contract, or the key is not that of the item.
    """
    if incoming.value is None:
        try:
            split_key(incoming.key or b"")
        except ValueError as error:
            raise InvalidField(str(error), path="key") from error
        return None
    item = decode_item(incoming.value)
    key = message_key(item.tenant_id, item.item_id)
    if incoming.key != key:
        message = f"key: {incoming.key!r}, expected {key!r} (tenant_id|item_id of the value)"
        raise InvalidField(message, path="key")
    return item


def content_hash(item: CatalogItem) -> bytes:
    """Hash of all that the vectors depend on: the item itself, its text and its picture's address.

    A shop that changes a picture gives it another address, or publishes a changed text; price and stock change neither.
    """
    uri = item.images[0].uri if item.images else ""
    parts = (message_key(item.tenant_id, item.item_id), embedding_text(item).encode(), uri.encode())
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()


def _numbers(vector: NDArray[np.float32]) -> tuple[float, ...]:
    """Short decimals: a record then takes a third of the bytes; 64-bit first, or rounding would not shorten them."""
    return tuple(np.round(vector.astype(np.float64), DECIMALS).tolist())


def _tensors(items: Sequence[CatalogItem], pictures: Sequence[NDArray[np.uint8] | None]) -> Tensors:
    """`contracts.tensors.ITEM_ENCODER_INPUTS` of a batch."""
    texts = [embedding_text(item).encode()[:MAX_TEXT_BYTES] for item in items]
    table = np.zeros((len(items), max(1, *map(len, texts))), np.uint8)
    for row, text in enumerate(texts):
        table[row, : len(text)] = np.frombuffer(text, np.uint8)
    there = [picture for picture in pictures if picture is not None]
    pixels = np.zeros((len(items), *(there[0].shape if there else (1, 1, 3))), np.uint8)
    for row, picture in enumerate(pictures):
        if picture is not None:
            pixels[row] = picture
    return {
        "text": table,
        "image": pixels,
        "has_image": np.array([picture is not None for picture in pictures], np.uint8),
        "keys": np.array([item_key(item.tenant_id, item.item_id) for item in items], np.int64),
    }
