"""The part of a `server.properties` that makes a broker ask everybody who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.principals import SUPER_USERS, Role
from stack.security import BROKER_NAME

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_PROTECTION = """\
# Clients sign in with SCRAM inside TLS; the controller takes only the broker's own certificate. SCRAM is no choice there, since
# its credentials lie in the very log that the controller keeps.
listener.security.protocol.map={protocols},CONTROLLER:SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
{logins}
ssl.enabled.protocols=TLSv1.3
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.controller.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users={super_users}
"""


def protection(listeners: Sequence[str], password: str, keystore: Path, truststore: Path) -> str:
    """Lines for a broker whose controller listens as CONTROLLER.

    Args:
        listeners: names of the listeners for clients, in capitals; the first is also the one between brokers.
        password: of the broker itself.
        keystore: PEM of its key and certificate.
        truststore: PEM of the authority.
    """
    login = f'{_SCRAM} username="{Role.BROKER}" password="{password}";'
    return _PROTECTION.format(
        protocols=",".join(f"{name}:SASL_SSL" for name in listeners),
        logins="\n".join(f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config={login}" for name in listeners),
        keystore=keystore,
        truststore=truststore,
        super_users=";".join([*(f"User:{role}" for role in SUPER_USERS), f"User:CN={BROKER_NAME}"]),
    )


def format_arguments(cluster_id: str, properties: Path, passwords: Mapping[str, str]) -> str:
    """Arguments of Kafka's storage tool, one a line, for a file: everybody on a machine may read those of a process.

    Args:
        cluster_id: 22 characters of URL-safe base64; may begin with a dash.
        properties: the `server.properties` that names the data folder.
        passwords: of SCRAM-SHA-512 users that are to exist from the start, by name.
    """
    lines = ["format", f"--cluster-id={cluster_id}", "--config", str(properties)]
    for name, password in passwords.items():
        lines += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
    return "\n".join(lines)
