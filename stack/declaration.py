"""Declares the topics of contracts/topics.py at the broker; those that exist are left as they are."""

from __future__ import annotations

import logging

from kafka import errors
from kafka.admin import KafkaAdminClient

from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from contracts.topics import TOPICS

log = logging.getLogger(__name__)


def declare_topics(settings: KafkaSettings) -> list[str]:
    """Create every missing topic.

    Returns:
        The names that were created, with the prefix.
    """
    admin = KafkaAdminClient(**kafka_python_options(settings))
    try:
        present = set(admin.list_topics())
        missing = {
            settings.topic_prefix + topic.name: {
                "num_partitions": settings.partitions,
                "replication_factor": settings.replication_factor,
                "configs": topic.config(),
            }
            for topic in TOPICS
            if settings.topic_prefix + topic.name not in present
        }
        if missing:
            try:
                admin.create_topics(missing, wait_for_metadata=True)
            except errors.TopicAlreadyExistsError:  # another process declared them meanwhile
                admin.wait_for_topics(list(missing))
            log.info("topics declared", extra={"topics": sorted(missing)})
        return sorted(missing)
    finally:
        admin.close()
