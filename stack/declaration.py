"""Declares the topics of contracts/topics.py at the broker; those that exist are left as they are.

`python -m stack.declaration` does it for a cluster that `vitrine up` does not start, as in compose.yaml.
"""

from __future__ import annotations

import logging
import sys

from kafka import errors
from kafka.admin import KafkaAdminClient

from contracts.errors import BrokerUnavailable, ConfigurationError, VitrineError
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings, Settings
from contracts.topics import TOPICS
from monitoring.logs import configure

log = logging.getLogger(__name__)


def declare_topics(settings: KafkaSettings) -> list[str]:
    """Create every missing topic.

    Returns:
        The names that were created, with the prefix.

    Raises:
        BrokerUnavailable: no broker answers, or it refuses.
    """
    try:
        admin = KafkaAdminClient(**kafka_python_options(settings))
        try:
            return _create_missing(admin, settings)
        finally:
            admin.close()
    except errors.KafkaError as error:
        message = f"the topics could not be declared at VITRINE_KAFKA__BOOTSTRAP_SERVERS={settings.bootstrap_servers}: {error}"
        raise BrokerUnavailable(message) from error


def _create_missing(admin: KafkaAdminClient, settings: KafkaSettings) -> list[str]:
    present = set(admin.list_topics())
    missing = {
        settings.topic_prefix + topic.name: {
            "num_partitions": topic.partitions or settings.partitions,
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


def main() -> int:
    """Declare the topics of the environment's settings; 1 when no broker answers, 2 when the settings are wrong."""
    configure("declaration")
    try:
        declare_topics(Settings().kafka)
    except VitrineError as error:
        sys.stderr.write(f"vitrine: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
