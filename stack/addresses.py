"""Addresses of the stack's processes: parsing, free ports, and whose a taken port is."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import NamedTuple

import psutil

from contracts.errors import ConfigurationError

LOOPBACK = ("127.0.0.1", "localhost")


class Address(NamedTuple):
    """`host:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str, setting: str) -> Address:
    """Split `host:port`.

    Args:
        text: as a setting has it; of several servers separated by commas the first counts.
        setting: name for the error, such as `VITRINE_TRITON__GRPC_ADDRESS`.

    Raises:
        ConfigurationError: without a host or with a port that is no number of 0–65535.
    """
    host, _, port = text.split(",", 1)[0].strip().rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        message = f"{setting} is {text!r}, expected host:port with a port of 0 to 65535"
        raise ConfigurationError(message)
    return Address(host.strip("[]"), int(port))


_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now, none twice; another process may take it before the caller does."""
    while True:
        with closing(socket.socket()) as probe:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
        if port not in _given:  # the system may offer a closed port again before its first taker listens
            _given.add(port)
            return port


def free_address(host: str = "127.0.0.1") -> str:
    """`host:port` with a free port."""
    return f"{host}:{free_port(host)}"


def require_free(address: Address, setting: str) -> None:
    """Refuse to start on a port that somebody else has.

    Raises:
        ConfigurationError: naming the setting and, where the system tells, the process that listens.
    """
    with closing(socket.socket()) as probe:
        # Connections of an earlier run that linger in TIME_WAIT do not matter, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            why = _listener(address.port) or error.strerror
            message = f"{setting}={address} cannot be used: {why}. Stop that process or set {setting} to another port."
            raise ConfigurationError(message) from error


def _listener(port: int) -> str | None:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()}) listens there"
    except psutil.Error:
        return None
    return None
