"""The demo shop in a running stack: pictures drawn, catalogue published, every product recommendable."""

from __future__ import annotations

from collections.abc import Iterator

from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumers.embeddings import EncodingProgress
from contracts.catalog import CatalogItem, decode_embedding
from contracts.errors import ContractError, EncoderUnavailable
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings, Settings, resolve
from contracts.topics import ITEM_EMBEDDINGS
from producers.publisher import CatalogPublisher
from shop.catalog import catalog, draw_pictures, products

_READ_MS = 500


def ensure_demo_shop(settings: Settings, console: Console) -> int:
    """Draw, publish and encode whatever of the demo shop is not there yet; a second call finds nothing to do.

    Returns:
        How many products the shop has.

    Raises:
        BrokerUnavailable: no broker answers.
        EncoderUnavailable: the catalogue worker encodes nothing.
    """
    goods = products()
    images = resolve(settings.stack.var) / "shop" / "images"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        drawing = bars.add_task("drawing pictures", total=len(goods))
        for drawn in draw_pictures(goods, images):
            bars.update(drawing, completed=drawn)
        present = encoded_items(settings.kafka)
        missing = [item for item in catalog(images) if present.get((item.tenant_id, item.item_id)) != item]
        if missing:
            encoding = bars.add_task("encoding products", total=len(missing))
            for encoded in _publish(missing, settings.kafka):
                bars.update(encoding, completed=encoded)
    return len(goods)


def encoded_items(settings: KafkaSettings) -> dict[tuple[str, str], CatalogItem]:
    """Products that have an embedding now, by tenant and id."""
    topic = settings.topic_prefix + ITEM_EMBEDDINGS
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    found: dict[tuple[str, str], CatalogItem] = {}
    consumer = KafkaConsumer(**kafka_python_options(settings), enable_auto_commit=False, group_id=None)
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=_READ_MS).values():
                for record in records:
                    _note(found, record.value)
    finally:
        consumer.close()
    return found


def _note(found: dict[tuple[str, str], CatalogItem], value: bytes | None) -> None:
    if value is None:
        return
    try:
        embedding = decode_embedding(value)
    except ContractError:  # an older build's record: the product is published again
        return
    if embedding.item is not None:
        found[embedding.tenant_id, embedding.item_id] = embedding.item


def _publish(items: list[CatalogItem], settings: KafkaSettings) -> Iterator[int]:
    wanted = {(item.tenant_id, item.item_id) for item in items}
    with EncodingProgress(settings) as progress:
        with CatalogPublisher(settings, linger_ms=5) as publisher:
            for item in items:
                publisher.upsert(item)
        yield from progress.encoded(wanted)
    if wanted:
        message = f"{len(wanted)} of {len(items)} products were not encoded; see `vitrine status` and var/log/catalog-0.log"
        raise EncoderUnavailable(message)
