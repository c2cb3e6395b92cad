"""The topics: names, partitions, retention, compaction, and who writes. Nothing is auto-created by a client."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000

EVENTS = "shop.events.v1"
CATALOG = "shop.catalog.v1"
ITEM_EMBEDDINGS = "shop.item_embeddings.v1"
PAGES = "shop.page_recommendations.v1"
DEAD_LETTERS = "shop.events.dlq"
ERASURES = "shop.erasures.v1"
ERASURE_RECEIPTS = "shop.erasure_receipts.v1"
SESSIONS = "shop.sessions.v1"
MODELS = "shop.models.v1"


@dataclass(frozen=True)
class Topic:
    """One declared topic.

    Attributes:
        cleanup_policy: Kafka's `cleanup.policy`.
        retention_ms: `retention.ms`; None keeps records until compaction removes them.
        extra: further topic settings.
        partitions: where the number matters; None takes `kafka.partitions`.
    """

    name: str
    cleanup_policy: str
    retention_ms: int | None = None
    extra: tuple[tuple[str, str], ...] = ()
    partitions: int | None = None

    def config(self) -> dict[str, str]:
        """The settings handed to Kafka when the topic is created."""
        settings = {"cleanup.policy": self.cleanup_policy, **dict(self.extra)}
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        return settings


# Retention, deletion and compaction work on whole segments. Without jitter all partitions that began at one moment roll at one
# moment too, and their flushing and cleaning hold pages up for seconds, once an hour.
_HOURLY_SEGMENTS = (("segment.ms", "3600000"), ("segment.jitter.ms", "1800000"))
# Compacted topics that a ranker re-reads at start stay small when segments roll and are cleaned soon.
# What a tombstone covers, a forgotten visitor for one, is off the disks within a day.
_FAST_COMPACTION = (
    ("min.cleanable.dirty.ratio", "0.2"),
    *_HOURLY_SEGMENTS,
    ("max.compaction.lag.ms", str(DAY_MS // 2)),
    ("delete.retention.ms", str(DAY_MS // 4)),
)

CHANGELOG_CONFIG = dict(_FAST_COMPACTION) | {"segment.bytes": str(8 * 1024 * 1024)}
"""Settings of the session table's changelog, which the worker declares itself.

A worker reads all of it back when it starts, and what is being written is not compacted: at 800 events a second an hour of it
would be 6 GB; see docs/decisions/0013.
"""

LEARNER_GROUP = "vitrine-learner-"
"""Consumer group of a continual learner, without the topic prefix and with the shop's id behind it: each reads everything."""

TOPICS: tuple[Topic, ...] = (
    # The broker stamps the records: latency and lag then compare server clocks only.
    Topic(EVENTS, "delete", 7 * DAY_MS, extra=(*_HOURLY_SEGMENTS, ("message.timestamp.type", "LogAppendTime"))),
    Topic(CATALOG, "compact", extra=(*_FAST_COMPACTION, ("message.timestamp.type", "LogAppendTime"))),
    Topic(ITEM_EMBEDDINGS, "compact", extra=_FAST_COMPACTION),
    Topic(PAGES, "compact,delete", DAY_MS, extra=_FAST_COMPACTION),
    Topic(DEAD_LETTERS, "delete", 28 * DAY_MS, extra=_HOURLY_SEGMENTS),
    # A request names the visitor, so it leaves too.
    Topic(ERASURES, "compact,delete", 7 * DAY_MS, extra=_FAST_COMPACTION),
    Topic(ERASURE_RECEIPTS, "compact"),
    # One partition: every ranker learns the same sessions in the same order.
    Topic(SESSIONS, "compact,delete", 7 * DAY_MS, extra=_FAST_COMPACTION, partitions=1),
    Topic(MODELS, "compact"),  # one record: who answers, see contracts.routes
)
