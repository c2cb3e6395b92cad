"""Declares the topics of contracts/topics.py at the broker; those that exist are left as they are.

`python -m stack.declaration` does it for a cluster that `vitrine up` does not start, as in compose.yaml.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from kafka import errors
from kafka.admin import KafkaAdminClient

from contracts.errors import BrokerUnavailable, ConfigurationError, VitrineError
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings, Settings
from contracts.topics import CHANGELOG_CONFIG, TOPICS, Topic
from monitoring.logs import configure
from stack.grants import declare_grants
from stack.principals import Role, changelog_of, grants
from stack.security import as_role

log = logging.getLogger(__name__)


def declare_topics(settings: KafkaSettings, also: Sequence[Topic] = ()) -> list[str]:
    """Create every missing topic.

    Args:
        settings: the cluster, as somebody who may create topics reaches it.
        also: topics besides those of `contracts.topics`.

    Returns:
        The names that were created, with the prefix.

    Raises:
        BrokerUnavailable: no broker answers, or it refuses.
    """
    try:
        admin = KafkaAdminClient(**kafka_python_options(settings))
        try:
            return _create_missing(admin, settings, (*TOPICS, *also))
        finally:
            admin.close()
    except errors.KafkaError as error:
        message = f"the topics could not be declared at VITRINE_KAFKA__BOOTSTRAP_SERVERS={settings.bootstrap_servers}: {error}"
        raise BrokerUnavailable(message) from error


def declare(settings: Settings) -> list[str]:
    """Everything that a cluster needs before anybody works on it: topics, and where people sign in also who may do what.

    There the administrator makes the worker's changelog too, since no worker may make topics.

    Returns:
        The names of the topics that were created, with the prefix.

    Raises:
        BrokerUnavailable: no broker answers, or it refuses.
    """
    admin = as_role(settings, Role.ADMIN).kafka
    if not settings.stack.secure:
        return declare_topics(admin)
    created = declare_topics(admin, [Topic(changelog_of(settings), "compact", extra=tuple(CHANGELOG_CONFIG.items()))])
    declare_grants(admin, grants(settings))
    return created


def _create_missing(admin: KafkaAdminClient, settings: KafkaSettings, topics: Sequence[Topic]) -> list[str]:
    present = set(admin.list_topics())
    missing = {
        settings.topic_prefix + topic.name: {
            "num_partitions": topic.partitions or settings.partitions,
            "replication_factor": settings.replication_factor,
            "configs": topic.config(),
        }
        for topic in topics
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
    """Declare what the environment's settings ask for; 1 when no broker answers, 2 when the settings are wrong."""
    configure("declaration")
    try:
        declare(Settings())
    except VitrineError as error:
        sys.stderr.write(f"vitrine: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
