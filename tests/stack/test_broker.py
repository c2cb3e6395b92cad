"""The embedded broker as the fixtures start it."""

from __future__ import annotations

import pytest
from kafka.admin import KafkaAdminClient

from contracts.kafka_client import kafka_python_options
from contracts.settings import Settings
from contracts.topics import TOPICS
from stack.declaration import declare_topics

pytestmark = pytest.mark.stack


def test_the_declared_topics_are_there_under_the_prefix_with_their_partitions_and_settings(settings: Settings) -> None:
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka))
    try:
        names = [settings.kafka.topic_prefix + topic.name for topic in TOPICS]
        described = {topic["name"]: topic for topic in admin.describe_topics(names)}
        for topic in TOPICS:
            found = described[settings.kafka.topic_prefix + topic.name]
            assert len(found["partitions"]) == settings.kafka.partitions
    finally:
        admin.close()


def test_declaring_again_creates_nothing(settings: Settings) -> None:
    assert declare_topics(settings.kafka) == []
