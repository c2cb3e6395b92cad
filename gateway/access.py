"""Who calls: API keys per tenant with a rate each. Keys are held and compared as digests and never logged."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from pydantic import SecretStr

from contracts.errors import ConfigurationError
from contracts.settings import GatewaySettings, resolve
from gateway.clock import Clock
from gateway.policy import Access

_LOG = logging.getLogger(__name__)
_BURST_SECONDS = 2.0
_MIN_KEY_LENGTH = 16


class _KeysFile(msgspec.Struct, forbid_unknown_fields=True):
    api_keys: dict[str, list[str]] = {}
    browser_keys: dict[str, list[str]] = {}
    operator_keys: dict[str, list[str]] = {}


class Bucket:
    """Token bucket: `rate` tokens per second, at most two seconds of them.

    A batch may overdraw once and is paid back by waiting, so that the size of a batch need not be known beforehand.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = rate * _BURST_SECONDS
        self._at = clock.monotonic()

    def wait_seconds(self) -> float:
        """0 if a request may pass now, else seconds until one may."""
        now = self._clock.monotonic()
        self._tokens = min(self._rate * _BURST_SECONDS, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def pay(self, tokens: int) -> None:
        """Take tokens, also more than there are."""
        self._tokens -= tokens


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        tenant_id: whose events and pages.
        access: what the key opens.
        is_bound: whether a key ties the caller to the tenant; without keys (demo) an event may name any.
        bucket: its rate.
    """

    tenant_id: str
    access: Access
    is_bound: bool
    bucket: Bucket


class KeyRing:
    """Keys of all tenants.

    Args:
        settings: the gateway's part.
        tenant_id: tenant of the demo without keys.
        clock: for the rates.

    Raises:
        ConfigurationError: no key and an address that others can reach, a short key, one key twice, an unreadable file.
    """

    def __init__(self, settings: GatewaySettings, tenant_id: str, clock: Clock) -> None:
        self._principals: dict[bytes, Principal] = {}
        self._rate = settings.rate_limit_per_second
        self._clock = clock
        levels: tuple[tuple[Access, Mapping[str, tuple[SecretStr, ...]]], ...] = (
            (Access.BROWSER, settings.browser_keys),
            (Access.SHOP, settings.api_keys),
            (Access.OPERATOR, settings.operator_keys),
        )
        for access, tenants in levels:
            for tenant, keys in tenants.items():
                for key in keys:
                    self._add(key.get_secret_value(), tenant, access)
        if settings.keys_file is not None:
            self._read(settings)
        self._anonymous: Principal | None = None
        if not self._principals:
            if not settings.open_access and not _is_loopback(settings.host):
                message = (
                    f"gateway.host is {settings.host!r} and there is no API key: set gateway.api_keys or gateway.keys_file, "
                    "listen on 127.0.0.1, or set gateway.open_access if something in front authenticates"
                )
                raise ConfigurationError(message)
            bucket = Bucket(self._rate, clock)
            self._anonymous = Principal(tenant_id, Access.OPERATOR, is_bound=False, bucket=bucket)
            _LOG.info("no API key is set: demo mode, every caller may do everything", extra={"host": settings.host})

    def _read(self, settings: GatewaySettings) -> None:
        path = resolve(settings.keys_file) if settings.keys_file is not None else None
        try:
            content = msgspec.json.decode(path.read_bytes() if path else b"{}", type=_KeysFile)
        except (OSError, msgspec.DecodeError) as error:
            message = f"gateway.keys_file: expected JSON with api_keys, browser_keys, operator_keys: {error}"
            raise ConfigurationError(message) from error
        for access, tenants in (
            (Access.BROWSER, content.browser_keys),
            (Access.SHOP, content.api_keys),
            (Access.OPERATOR, content.operator_keys),
        ):
            for tenant, keys in tenants.items():
                for key in keys:
                    self._add(key, tenant, access)

    def _add(self, key: str, tenant: str, access: Access) -> None:
        if len(key) < _MIN_KEY_LENGTH:
            whose = f"a {access.name.lower()} key of tenant {tenant!r}"
            message = f"{whose} has {len(key)} characters, at least {_MIN_KEY_LENGTH} expected"
            raise ConfigurationError(message)
        if "|" in tenant or not tenant:
            message = (
                f"a key is of tenant {tenant!r}, expected a name without '|', which parts tenant and visitor in message keys"
            )
            raise ConfigurationError(message)
        digest = _digest(key)
        if digest in self._principals:
            message = f"a {access.name.lower()} key of tenant {tenant!r} is there twice"
            raise ConfigurationError(message)
        self._principals[digest] = Principal(tenant, access, is_bound=True, bucket=Bucket(self._rate, self._clock))

    def identify(self, headers: Mapping[bytes, bytes], query: bytes) -> Principal | None:
        """Who a request comes from; None for no key or an unknown one.

        The key comes as `Authorization: Bearer`, as Basic user name (Segment's write key), as `X-API-Key`, or, since
        beacons and event streams of a browser cannot set headers, as `key` or `api_secret` of the query; there only
        browser keys are taken, because addresses end up in logs.
        """
        if self._anonymous is not None:
            return self._anonymous
        key = _key_of_headers(headers)
        if key is not None:
            return self._principals.get(_digest(key))
        if query:
            values = parse_qs(query.decode("latin-1"))
            for name in ("key", "api_secret"):
                if name in values:
                    principal = self._principals.get(_digest(values[name][0]))
                    return principal if principal is not None and principal.access == Access.BROWSER else None
        return None


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=32).digest()


def _key_of_headers(headers: Mapping[bytes, bytes]) -> str | None:
    direct = headers.get(b"x-api-key")
    if direct is not None:
        return direct.decode("latin-1")
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer":
        return value.strip().decode("latin-1")
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).decode("latin-1").partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
