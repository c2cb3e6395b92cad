"""The files that `deploy/compose/secure.yaml` mounts: `python -m stack.container_secrets` writes them to `var/secrets/kafka`.

A second call leaves passwords as they are. The folder is its owner's alone; the files in it can be read by all, since the users
inside the containers are others and a container is given the files of its own role only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.settings import ROOT, KafkaSettings
from stack.principals import Role
from stack.protection import format_arguments, protection
from stack.security import Keys, write_private

FOLDER = ROOT / "var" / "secrets" / "kafka"
CLUSTER_ID = "dml0cmluZS1jb21wb3NlMQ"
"""As in compose.yaml."""
_INSIDE = Path("/run/secrets")
_HOSTS = ("kafka", "localhost", "127.0.0.1")
_SERVER = """\
# Written by stack/container_secrets.py.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@kafka:9093
controller.listener.names=CONTROLLER
listeners=INTERNAL://:19092,HOST://:9092,CONTROLLER://:9093
advertised.listeners=INTERNAL://kafka:19092,HOST://127.0.0.1:9092
inter.broker.listener.name=INTERNAL
log.dirs=/var/lib/kafka/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""
_CLIENT = """\
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="{role}" password="{password}";
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
"""


def write(folder: Path) -> list[Path]:
    """Write everything into a folder.

    Returns:
        The files, by name.
    """
    keys = Keys(folder)
    keys.ensure(_HOSTS)
    keys.write_configs(KafkaSettings(bootstrap_servers="127.0.0.1:9092"))  # for commands on the host
    truststore = _INSIDE / "kafka_ca"
    server = _SERVER + protection(["INTERNAL", "HOST"], keys.password(Role.BROKER), _INSIDE / "kafka_broker", truststore)
    write_private(folder / "server.properties", server)
    probe = _CLIENT.format(role=Role.ADMIN, password=keys.password(Role.ADMIN), truststore=truststore)
    write_private(folder / "admin.properties", probe)
    passwords = {str(role): keys.password(role) for role in Role}
    arguments = format_arguments(CLUSTER_ID, _INSIDE / "kafka_server", passwords)
    write_private(folder / "format.arguments", arguments + "\n--ignore-formatted")
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    for file in files:
        file.chmod(0o444)
    return files


def main() -> int:
    """Write the files of this checkout."""
    files = write(FOLDER)
    sys.stdout.write(f"{len(files)} files in {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
