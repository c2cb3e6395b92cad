"""Who may do what at the broker: one principal for each role, with the least that its work needs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from contracts.settings import Settings
from contracts.topics import (
    CATALOG,
    DEAD_LETTERS,
    ERASURE_RECEIPTS,
    ERASURES,
    EVENTS,
    ITEM_EMBEDDINGS,
    LEARNER_GROUP,
    MODELS,
    PAGES,
    SESSIONS,
    TOPICS,
)


class Role(StrEnum):
    """The names by which clients and the broker sign in."""

    BROKER = "broker"
    """The broker itself, towards itself; a super user."""
    ADMIN = "admin"
    """Declares topics and grants; a super user, used by the supervisor at the start and by nothing that runs on."""
    WORKER = "worker"
    CATALOG = "catalog"
    RANKER = "ranker"
    """Triton's follower of the item topic."""
    GATEWAY = "gateway"
    PRODUCER = "producer"
    """A shop's own server that publishes events and products."""
    CONSUMER = "consumer"
    """A shop's own server that takes pages."""
    LEARNER = "learner"
    """`vitrine train follow`: what visitors clicked, for a shop's continual learner."""
    OPERATOR = "operator"
    """A person with the command line: reads every topic, replays and purges dead letters, erases visitors."""


SUPER_USERS = (Role.BROKER, Role.ADMIN)
Operation = Literal["READ", "WRITE", "DELETE"]  # each implies DESCRIBE


@dataclass(frozen=True, order=True)
class Grant:
    """One allowed operation.

    Attributes:
        role: who.
        kind: of the resource.
        name: full name of the topic or group, prefix included.
        operation: what; READ of a group is joining it and committing.
        is_prefix: every resource whose name begins with `name`.
    """

    role: Role
    kind: Literal["TOPIC", "GROUP"]
    name: str
    operation: Operation
    is_prefix: bool = False


def changelog_of(settings: Settings) -> str:
    """Name of the session table's changelog, as Faust forms it, without the topic prefix."""
    return f"{settings.worker.group}-sessions-changelog"


def grants(settings: Settings) -> frozenset[Grant]:
    """Everything that is allowed; what is not in it is refused, also to principals that nobody knows."""
    prefix = settings.kafka.topic_prefix
    changelog = changelog_of(settings)
    everything = tuple(topic.name for topic in TOPICS)
    topics: dict[Role, dict[Operation, tuple[str, ...]]] = {
        Role.WORKER: {
            "READ": (EVENTS, ERASURES, ITEM_EMBEDDINGS, MODELS, changelog),
            "WRITE": (PAGES, DEAD_LETTERS, ERASURE_RECEIPTS, SESSIONS, changelog),
        },
        Role.CATALOG: {"READ": (CATALOG, MODELS), "WRITE": (ITEM_EMBEDDINGS, DEAD_LETTERS)},
        Role.RANKER: {"READ": (ITEM_EMBEDDINGS, SESSIONS)},
        Role.GATEWAY: {
            "READ": (PAGES, CATALOG, ITEM_EMBEDDINGS, DEAD_LETTERS),
            "WRITE": (EVENTS, CATALOG, ERASURES),
        },
        Role.PRODUCER: {"WRITE": (EVENTS, CATALOG)},
        Role.CONSUMER: {"READ": (PAGES,)},
        Role.LEARNER: {"READ": (EVENTS, ITEM_EMBEDDINGS)},
        Role.OPERATOR: {
            "READ": everything,
            "WRITE": (EVENTS, CATALOG, ERASURES, MODELS, DEAD_LETTERS),
            "DELETE": (EVENTS, DEAD_LETTERS),
        },
    }
    groups = {Role.WORKER: settings.worker.group, Role.CATALOG: settings.catalog.group}
    of_topics = {
        Grant(role, "TOPIC", prefix + name, operation)
        for role, operations in topics.items()
        for operation, names in operations.items()
        for name in names
    }
    of_groups = {Grant(role, "GROUP", prefix + group, "READ") for role, group in groups.items()}
    learners = Grant(Role.LEARNER, "GROUP", prefix + LEARNER_GROUP, "READ", is_prefix=True)
    return frozenset(of_topics | of_groups | {learners})
