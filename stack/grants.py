"""Brings the broker's access rules in line with `stack.principals`: adds what is missing, removes what is not wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from kafka import errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from contracts.errors import BrokerUnavailable
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings
from stack.principals import Grant, Role

log = logging.getLogger(__name__)


def declare_grants(admin_settings: KafkaSettings, wanted: Iterable[Grant]) -> int:
    """Make the rules of our roles exactly these; rules of other principals, such as a shop's own, are left as they are.

    Args:
        admin_settings: how the administrator reaches the broker.
        wanted: the rules.

    Returns:
        How many rules were added or removed.

    Raises:
        BrokerUnavailable: no broker answers, or it refuses.
    """
    try:
        admin = KafkaAdminClient(**kafka_python_options(admin_settings))
        try:
            return _reconcile(admin, {_acl(grant) for grant in wanted})
        finally:
            admin.close()
    except errors.KafkaError as error:
        message = f"the access rules could not be declared at {admin_settings.bootstrap_servers}: {error}"
        raise BrokerUnavailable(message) from error


def _reconcile(admin: Any, wanted: set[ACL]) -> int:
    everything = ACLFilter(
        None, None, ACLOperation.ANY, ACLPermissionType.ANY,
        ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )  # fmt: skip
    found, error = admin.describe_acls(everything)
    if error is not errors.NoError:
        raise error
    ours = {f"User:{role}" for role in Role}
    present = {acl for acl in found if acl.principal in ours}
    missing, surplus = wanted - present, present - wanted
    if missing:
        failed = admin.create_acls(list(missing))["failed"]
        if failed:
            raise failed[0]
    if surplus:
        admin.delete_acls([_exactly(acl) for acl in surplus])
    if missing or surplus:
        log.info("access rules declared", extra={"added": len(missing), "removed": len(surplus)})
    return len(missing) + len(surplus)


def _acl(grant: Grant) -> ACL:
    kind = ACLResourcePatternType.PREFIXED if grant.is_prefix else ACLResourcePatternType.LITERAL
    pattern = ResourcePattern(ResourceType[grant.kind], grant.name, kind)
    return ACL(f"User:{grant.role}", "*", ACLOperation[grant.operation], ACLPermissionType.ALLOW, pattern)


def _exactly(acl: ACL) -> ACLFilter:
    pattern = acl.resource_pattern
    place = ResourcePatternFilter(pattern.resource_type, pattern.resource_name, pattern.pattern_type)
    return ACLFilter(acl.principal, acl.host, acl.operation, acl.permission_type, place)
