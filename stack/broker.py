"""The embedded broker: real Apache Kafka in KRaft mode, one node, on loopback."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import struct
import subprocess
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from contracts.errors import BrokerUnavailable, ConfigurationError
from contracts.settings import ROOT, Settings, resolve
from stack.addresses import LOOPBACK, Address, parse_address
from stack.environment import child_environment, without_secrets
from stack.principals import Role
from stack.process import Child
from stack.protection import format_arguments, protection
from stack.security import keys_of, write_private

LIBS = ROOT / "var" / "kafka" / "libs"  # filled by `make setup` from stack/kafka/pom.xml
_LOG4J = ROOT / "stack" / "kafka" / "log4j2.properties"
ADDRESS_SETTING = "VITRINE_KAFKA__BOOTSTRAP_SERVERS"
CONTROLLER_SETTING = "VITRINE_STACK__CONTROLLER_PORT"
SECURE_DATA = "data-secure"
# Beyond the heap: each of its ninety threads keeps buffers as large as its largest transfer, and glibc an arena for each core
# and thread, so that one burst would stay in memory for good.
_NATIVE_BUFFERS = "-Djdk.nio.maxCachedBufferSize=262144"  # bytes
_MALLOC_ARENAS = "2"

_SERVER = """\
# Written at every start by stack/broker.py.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=CLIENTS://{address},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENTS://{address}
inter.broker.listener.name=CLIENTS
log.dirs={data}
num.partitions={partitions}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
# The default of 50 partitions costs a second of every start.
offsets.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# The default waits 3 s before the first worker of a group may begin.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a crash the node may register again only when its old session is over; the default is 9 s.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
log.retention.hours=168
# Whole segments leave at these checks; what was cut off for a forgotten visitor need not wait for the default of 5 minutes.
log.retention.check.interval.ms=60000
log.cleaner.min.compaction.lag.ms=0
log.cleaner.backoff.ms=5000
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""
_OPEN = "listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT\n"


def is_embedded(settings: Settings) -> bool:
    """Whether the stack runs the broker itself: one loopback address and not switched off."""
    servers = settings.kafka.bootstrap_servers.split(",")
    return settings.stack.kafka and len(servers) == 1 and parse_address(servers[0], ADDRESS_SETTING).host in LOOPBACK


def new_cluster_id() -> str:
    """22 characters of URL-safe base64, as Kafka's own tool makes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def format_storage(properties: Path, cluster_id: str, passwords: Mapping[str, str] | None = None) -> None:
    """Format the data folder that a `server.properties` names.

    Args:
        properties: the file.
        cluster_id: see `new_cluster_id`.
        passwords: of SCRAM-SHA-512 users that are to exist from the start, by name.

    Raises:
        ConfigurationError: if Kafka's tool refuses, with its words.
    """
    arguments = properties.with_name(".format")
    write_private(arguments, format_arguments(cluster_id, properties, passwords or {}))
    command = [*_java("-Xmx128m", "-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", f"@{arguments}"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        arguments.unlink()
    if finished.returncode != 0:
        said = finished.stderr.strip() or finished.stdout.strip()
        message = f"Kafka's storage could not be formatted by {properties}: {said}"
        raise ConfigurationError(message)


class Broker:
    """Prepares the broker's files and its process; data in `<stack.var>/kafka`.

    A secure broker keeps data of its own: who may sign in is written when the folder is formatted.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = parse_address(settings.kafka.bootstrap_servers, ADDRESS_SETTING)
        self.controller = Address("127.0.0.1", settings.stack.controller_port)
        self._settings = settings
        self._var = resolve(settings.stack.var)
        self._keys = keys_of(settings) if settings.stack.secure else None
        self._data = self._var / "kafka" / ("data" if self._keys is None else SECURE_DATA)
        self._properties = self._var / "kafka" / "server.properties"

    def prepare(self) -> None:
        """Write the configuration and, the first time, format the data folder.

        Raises:
            ConfigurationError: no Java, the jars were not fetched, or the passwords of existing data are gone.
        """
        self._properties.parent.mkdir(parents=True, exist_ok=True)
        is_formatted = (self._data / "meta.properties").exists()
        server = _SERVER.format(
            address=self.address,
            controller_port=self.controller.port,
            data=self._data,
            partitions=self._settings.kafka.partitions,
        )
        if self._keys is not None:
            if is_formatted and not self._keys.password_file(Role.BROKER).exists():
                message = f"{self._data} was made with passwords that are not in {self._keys.folder} any more: delete that data"
                raise ConfigurationError(message)
            self._keys.ensure(sorted({"localhost", "127.0.0.1", self.address.host}))
            self._keys.write_configs(self._settings.kafka)
        write_private(self._properties, server + self._protection())
        if not is_formatted:
            passwords = {} if self._keys is None else {str(role): self._keys.password(role) for role in Role}
            format_storage(self._properties, new_cluster_id(), passwords)

    def _protection(self) -> str:
        if self._keys is None:
            return _OPEN
        return protection(["CLIENTS"], self._keys.password(Role.BROKER), self._keys.broker, self._keys.authority)

    def child(self) -> Child:
        """The process, not started."""
        heap = self._settings.stack.heap
        command = [*_java(f"-Xms{heap}", f"-Xmx{heap}", _NATIVE_BUFFERS), "kafka.Kafka", str(self._properties)]
        environment = child_environment(without_secrets(self._settings), MALLOC_ARENA_MAX=_MALLOC_ARENAS)
        return Child("kafka", command, environment, self._var / "log" / "kafka.log", ROOT)

    def is_answering(self, timeout_seconds: float = 1.0) -> bool:
        """Whether the broker answers a request; a mere connection would also succeed while the process hangs."""
        # ApiVersions v0: size, api key 18, version 0, correlation id, null client id.
        request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
        try:
            with closing(socket.create_connection(self.address, timeout_seconds)) as plain, self._secured(plain) as connection:
                connection.sendall(request)
                return len(connection.recv(8)) > 0
        except OSError:
            return False

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._keys is None:
            return connection
        context = ssl.create_default_context(cafile=self._keys.authority)
        return context.wrap_socket(connection, server_hostname=self.address.host)

    def wait_until_answering(self, child: Child, patience_seconds: float = 60.0) -> None:
        """Poll until the broker answers.

        Raises:
            BrokerUnavailable: the process ended or did not answer in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + patience_seconds
        while not self.is_answering():
            if not child.is_alive or time.monotonic() > deadline:
                message = f"Kafka did not start on {self.address}; the end of {child.log_file}:\n{child.log_tail()}"
                raise BrokerUnavailable(message)
            time.sleep(0.05)


def _java(*options: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        message = "no java on the PATH: install a JRE of version 17 or newer, such as Debian's openjdk-17-jre-headless"
        raise ConfigurationError(message)
    if not any(LIBS.glob("kafka_*.jar")):
        message = f"Kafka's jars are not in {LIBS}: run `make setup`"
        raise ConfigurationError(message)
    # Serial collection leaves the cores to the pipeline; see docs/architecture.md.
    return [java, *options, "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", f"{LIBS}/*"]


def remove_data(var: Path) -> None:
    """Forget everything that the embedded broker of this var folder kept."""
    for name in ("data", SECURE_DATA):
        shutil.rmtree(resolve(var) / "kafka" / name, ignore_errors=True)
