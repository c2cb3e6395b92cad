"""The embedded broker as the fixtures start it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from contracts.kafka_client import kafka_python_options
from contracts.settings import Settings
from contracts.topics import TOPICS
from stack.addresses import free_address, free_port
from stack.broker import Broker, format_storage
from stack.declaration import declare_topics
from stack.environment import overridden

pytestmark = pytest.mark.stack


def test_the_declared_topics_are_there_under_the_prefix_with_their_partitions_and_settings(settings: Settings) -> None:
    admin = KafkaAdminClient(**kafka_python_options(settings.kafka))
    try:
        names = [settings.kafka.topic_prefix + topic.name for topic in TOPICS]
        described = {topic["name"]: topic for topic in admin.describe_topics(names)}
        for topic in TOPICS:
            found = described[settings.kafka.topic_prefix + topic.name]
            assert len(found["partitions"]) == (topic.partitions or settings.kafka.partitions)
    finally:
        admin.close()


def test_declaring_again_creates_nothing(settings: Settings) -> None:
    assert declare_topics(settings.kafka) == []


def test_an_id_that_begins_with_a_dash_is_an_id(tmp_path: Path) -> None:
    changes: dict[str, dict[str, object]] = {
        "kafka": {"bootstrap_servers": free_address()},
        "stack": {"var": tmp_path, "controller_port": free_port()},
    }
    Broker(overridden(Settings(), changes)).prepare()
    (meta,) = tmp_path.rglob("meta.properties")
    assert re.search(r"^cluster\.id=[\w-]{22}$", meta.read_text(), re.MULTILINE)
    meta.unlink()
    (properties,) = tmp_path.rglob("server.properties")
    format_storage(properties, "-SBkH3xlT4mxkDyzd8tSwA")
    assert "cluster.id=-SBkH3xlT4mxkDyzd8tSwA" in meta.read_text()
