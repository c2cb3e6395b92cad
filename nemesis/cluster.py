"""Three Kafka nodes in KRaft mode, replication factor 3, min.insync.replicas 2, each behind a proxy that clients go through.

Kafka sends clients to the address that it advertises, so every node has two listeners: one that it advertises as its
proxy's address, for workers, Triton and gateway, and a plain one for the other nodes, the traffic and the checker.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from contracts.errors import BrokerUnavailable
from contracts.settings import ROOT
from nemesis.proxy import Proxy
from stack.addresses import free_port
from stack.broker import LIBS, format_storage, new_cluster_id
from stack.process import Child

NODES = 3
_SMALL_DISK_MB = 320
_PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=DIRECT://127.0.0.1:{direct},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=DIRECT://127.0.0.1:{direct},PROXIED://{advertised}
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
log.dirs={data}
num.partitions=8
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
replica.lag.time.max.ms=5000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=800
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
"""


@dataclass
class Node:
    """One node; `child` is replaced at every start."""

    number: int
    direct: int
    proxied: int
    controller: int
    proxy: Proxy
    folder: Path
    child: Child

    @property
    def pid(self) -> int:
        """Process id of the newest start."""
        return self.child.pid or 0

    def is_answering(self) -> bool:
        """Whether it answers ApiVersions on its direct listener."""
        try:
            with closing(socket.create_connection(("127.0.0.1", self.direct), 1.0)) as connection:
                connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
                return len(connection.recv(8)) > 0
        except OSError:
            return False


class Cluster:
    """The nodes; start, harm and stop them from the main thread.

    Args:
        var: folder for data and logs.
    """

    def __init__(self, var: Path) -> None:
        self._var = var
        self._mounted: list[Path] = []
        ports = [(free_port(), free_port(), free_port()) for _ in range(NODES)]
        voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, _, controller) in enumerate(ports, 1))
        cluster = new_cluster_id()
        self.nodes: list[Node] = []
        for number, (direct, proxied, controller) in enumerate(ports, 1):
            folder = var / f"node-{number}"
            folder.mkdir(parents=True)
            proxy = Proxy(f"127.0.0.1:{proxied}")
            node = Node(number, direct, proxied, controller, proxy, folder, self._child(number, folder))
            self._write(node, voters)
            self.nodes.append(node)
        self.has_small_disk = self._mount(self.nodes[-1].folder / "data")
        for node in self.nodes:
            format_storage(node.folder / "server.properties", cluster)

    @property
    def direct(self) -> str:
        """Bootstrap servers past the proxies."""
        return ",".join(f"127.0.0.1:{node.direct}" for node in self.nodes)

    @property
    def proxied(self) -> str:
        """Bootstrap servers through the proxies."""
        return ",".join(node.proxy.address for node in self.nodes)

    def start(self, patience_seconds: float = 120.0) -> None:
        """Start all nodes.

        Raises:
            BrokerUnavailable: one did not answer in time.
        """
        for node in self.nodes:
            node.child.start()
        for node in self.nodes:
            self.wait(node, patience_seconds)

    def wait(self, node: Node, patience_seconds: float = 60.0) -> None:
        """Poll until the node answers.

        Raises:
            BrokerUnavailable: not in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + patience_seconds
        while not node.is_answering():
            if time.monotonic() > deadline or not node.child.is_alive:
                message = f"Kafka node {node.number} does not answer; the end of its log:\n{node.child.log_tail()}"
                raise BrokerUnavailable(message)
            time.sleep(0.05)

    def revive(self, node: Node) -> None:
        """Start a node again that was killed or ended."""
        node.child.kill()
        node.child = self._child(node.number, node.folder)
        node.child.start()
        self.wait(node)

    def close(self) -> None:
        """End every node, drop the proxies and the small disk."""
        for node in self.nodes:
            if node.pid and psutil.pid_exists(node.pid):
                os.kill(node.pid, signal.SIGCONT)
            node.child.kill()
            node.proxy.close()
        for place in self._mounted:
            subprocess.run(["umount", str(place)], check=False, capture_output=True)

    def _child(self, number: int, folder: Path) -> Child:
        command = [*_java("-Xms256m", "-Xmx256m"), "kafka.Kafka", str(folder / "server.properties")]
        return Child(f"kafka-{number}", command, dict(os.environ), self._var / "log" / f"kafka-{number}.log", ROOT)

    def _write(self, node: Node, voters: str) -> None:
        text = _PROPERTIES.format(
            number=node.number,
            voters=voters,
            direct=node.direct,
            proxied=node.proxied,
            controller=node.controller,
            advertised=node.proxy.address,
            data=node.folder / "data",
        )
        (node.folder / "server.properties").write_text(text)

    def _mount(self, place: Path) -> bool:
        """A disk small enough to be filled, for one node; False where mounting is not permitted."""
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK_MB}m", "vitrine-nemesis", str(place)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return False
        self._mounted.append(place)
        return True


def _java(*options: str) -> list[str]:
    return ["java", *options, "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={ROOT / 'stack/kafka/log4j2.properties'}",
            "-cp", f"{LIBS}/*"]  # fmt: skip
