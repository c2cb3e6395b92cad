"""What a stack of given settings consists of: the services, their addresses, and what cannot run here and why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from contracts.errors import ConfigurationError
from contracts.settings import ROOT, GatewaySettings, Settings, resolve
from stack import broker, scrape, triton
from stack.addresses import Address, free_port, parse_address, require_free
from stack.declaration import declare as declare_all
from stack.environment import child_environment, overridden, without_secrets
from stack.health import HealthRule
from stack.keeper import Service
from stack.principals import Role
from stack.process import Child
from stack.rankers import Rankers
from stack.security import as_role, keys_of

WORKER_SETTING = "VITRINE_WORKER__METRICS_ADDRESS"
MODEL_SETTING = "VITRINE_MONITORING__MODEL_METRICS_ADDRESS"
GATEWAY_SETTING = "VITRINE_GATEWAY__PORT"

_KAFKA, _TRITON = "kafka", "triton"
_PROBE_SECONDS = 1.25  # two misses, each a second after the last, are told within 5 s of a hang
# A worker that does not answer for this long although broker and Triton do is hung (reliability: agents die quietly).
_WORKER_RULE = HealthRule(start_seconds=90.0, miss_seconds=5.0)
_GATEWAY_RULE = HealthRule(start_seconds=60.0, miss_seconds=10.0)
# Killing the broker is the last resort: a pause of half a minute is cheaper than its recovery.
_BROKER_RULE = HealthRule(start_seconds=60.0, miss_seconds=30.0)


@dataclass(frozen=True)
class Plan:
    """Everything that a supervisor runs.

    Attributes:
        settings: with every port decided.
        services: in the order of their start.
        addresses: name to `host:port` or URL, for people and tests.
        reserved: addresses that must be free before anything starts, each with its setting.
        notes: what does not run and why.
        rankers: the slots of model versions, None where no Triton is ours to run.
    """

    settings: Settings
    services: tuple[Service, ...]
    addresses: dict[str, str]
    reserved: tuple[tuple[Address, str], ...]
    notes: tuple[str, ...]
    rankers: Rankers | None = None

    def require_free_ports(self) -> None:
        """Refuse to start where a port is taken.

        Raises:
            ConfigurationError: naming the setting and who listens.
        """
        for address, setting in self.reserved:
            require_free(address, setting)


class Planner:
    """Collects the services of one stack.

    Args:
        settings: of the whole stack; port 0 means any free port.
        web: client for health checks.
    """

    def __init__(self, settings: Settings, web: httpx.AsyncClient) -> None:
        shop = resolve(settings.stack.var) / "shop"  # pictures that the demo draws and the gateway is given
        roots = {"image_roots": (*settings.catalog.image_roots, shop)}
        self._settings = overridden(with_ports(settings), {"catalog": roots})
        self._web = web
        self._services: list[Service] = []
        self._addresses: dict[str, str] = {}
        self._reserved: list[tuple[Address, str]] = []
        self._notes: list[str] = []
        self._targets: dict[str, dict[str, str]] = {}
        self._rankers: Rankers | None = None

    def plan(self) -> Plan:
        """The plan; declares the topics at once where the cluster is not ours to start.

        Raises:
            ConfigurationError: an address that cannot be read, a missing program, a model without manifest.
        """
        self._add_kafka()
        self._add_triton()
        self._add_workers()
        self._add_gateway()
        self._add_prometheus()
        services = tuple(self._services)
        return Plan(self._settings, services, self._addresses, tuple(self._reserved), tuple(self._notes), self._rankers)

    def _names(self) -> set[str]:
        return {service.name for service in self._services}

    def _needs(self, *names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in self._names())

    def _add_kafka(self) -> None:
        self._addresses["broker"] = self._settings.kafka.bootstrap_servers
        if not broker.is_embedded(self._settings):
            declare_all(self._settings)
            return
        if self._settings.stack.secure:
            file = keys_of(self._settings).config_file(Role.OPERATOR)
            self._notes.append(f"The broker asks everybody who they are; a command says it by VITRINE_CONFIG={file}")
        kafka = broker.Broker(self._settings)
        self._reserved += [(kafka.address, broker.ADDRESS_SETTING), (kafka.controller, broker.CONTROLLER_SETTING)]

        async def is_well() -> bool:
            return await asyncio.to_thread(kafka.is_answering)

        declare = lambda: declare_all(self._settings)  # noqa: E731 - a name for one line
        self._services.append(
            Service(_KAFKA, kafka.child, is_well, _BROKER_RULE, prepare=kafka.prepare, ready=declare, term_seconds=10.0)
        )

    def _add_triton(self) -> None:
        settings = self._settings
        self._addresses["triton"] = settings.triton.grpc_address
        self._targets["triton"] = {_TRITON: settings.triton.metrics_address}
        self._targets["model"] = {_TRITON: settings.monitoring.model_metrics_address}
        if not settings.stack.triton:
            return
        rankers = self._rankers = Rankers(without_secrets(as_role(settings, Role.RANKER)), self._needs(_KAFKA))
        model = parse_address(settings.monitoring.model_metrics_address, MODEL_SETTING)
        server = triton.TritonServer(settings)
        if _TRITON in rankers.rollout.slots:
            self._reserved += [*server.addresses(), (model, MODEL_SETTING)]
        self._addresses |= {"triton_metrics": str(server.metrics), "model_metrics": str(model)}
        for slot, version in rankers.rollout.slots.items():
            try:
                self._services.append(rankers.service(slot, version))
            except ConfigurationError as error:
                if slot == rankers.rollout.live:
                    raise
                self._notes.append(f"model version {version} does not run: {error}")
        self._targets |= rankers.targets()

    def _add_workers(self) -> None:
        stack = self._settings.stack
        first = parse_address(self._settings.worker.metrics_address, WORKER_SETTING)
        names = [f"worker-{n}" for n in range(stack.workers)] + [f"catalog-{n}" for n in range(stack.catalog_workers)]
        for number, name in enumerate(names):
            role = "events" if name.startswith("worker") else "catalog"
            address = first if number == 0 else Address(first.host, free_port(first.host))
            own = {
                "role": role,
                "instance_id": name.rpartition("-")[2],
                "metrics_address": str(address),
                "data_dir": resolve(self._settings.stack.var) / name,
            }
            principal = Role.WORKER if role == "events" else Role.CATALOG
            trusted = without_secrets(as_role(self._settings, principal), but="page" if role == "events" else None)
            settings = overridden(trusted, {"worker": own})
            self._reserved.append((address, WORKER_SETTING))
            self._addresses[name] = str(address)
            self._targets.setdefault("worker" if role == "events" else "catalog", {})[name] = str(address)
            self._services.append(self._python(name, "streams", settings, str(address), _WORKER_RULE, 2))

    def _add_gateway(self) -> None:
        settings = self._settings
        if not settings.stack.gateway:
            return
        reachable = _reachable(settings.gateway)
        self._reserved.append((Address(settings.gateway.host, settings.gateway.port), GATEWAY_SETTING))
        self._addresses["gateway"] = f"http://{reachable}"
        self._targets["gateway"] = {"gateway": str(reachable)}
        settings = without_secrets(as_role(settings, Role.GATEWAY), but="gateway")
        self._services.append(self._python("gateway", "gateway", settings, str(reachable), _GATEWAY_RULE, 3))

    def _add_prometheus(self) -> None:
        if not self._settings.stack.prometheus:
            return
        missing = scrape.why_not()
        if missing is not None:
            self._notes.append(missing)
            return
        server = scrape.Prometheus(self._settings, self._targets)
        if self._rankers is not None:
            self._rankers.on_change = self._retarget(self._rankers, server)
        self._reserved.append((server.address, scrape.ADDRESS_SETTING))
        self._addresses["prometheus"] = f"http://{server.address}"
        probe = self._says(f"http://{server.address}/-/ready")
        rule = HealthRule(miss_seconds=30.0)
        self._services.append(Service("prometheus", server.child, probe, rule, stage=1, prepare=server.prepare))

    def _retarget(self, rankers: Rankers, server: scrape.Prometheus) -> Callable[[], None]:
        def write() -> None:
            self._targets |= rankers.targets()
            server.write_targets()

        return write

    def _python(self, name: str, module: str, settings: Settings, address: str, rule: HealthRule, stage: int) -> Service:
        log_file = resolve(settings.stack.var) / "log" / f"{name}.log"

        def child() -> Child:
            return Child(name, [sys.executable, "-m", module], child_environment(settings), log_file, ROOT)

        # `triton` means the slot that is live, whichever that is.
        ranker = (_TRITON,) if module == "streams" and self._rankers is not None else ()
        needs = (*self._needs(_KAFKA), *ranker)
        probe = self._says(f"http://{address}/healthz")
        return Service(name, child, probe, rule, stage=stage, needs=needs)

    def _says(self, url: str) -> Callable[[], Awaitable[bool | None]]:
        """What a process says of itself by its status; one of ours also whether it is `monitoring.server.Health.busy`."""

        async def is_well() -> bool | None:
            try:
                answer = await self._web.get(url, timeout=_PROBE_SECONDS)
                if answer.status_code == httpx.codes.OK:
                    return True
                return None if answer.json().get("busy") else False
            except (httpx.HTTPError, ValueError):
                return False

        return is_well


def with_ports(settings: Settings) -> Settings:
    """A copy in which every port 0 became a free port."""

    def decided(text: str, setting: str) -> str:
        address = parse_address(text, setting)
        return text if address.port else str(Address(address.host, free_port(address.host)))

    return overridden(
        settings,
        {
            "kafka": {"bootstrap_servers": decided(settings.kafka.bootstrap_servers, broker.ADDRESS_SETTING)},
            "triton": {
                "grpc_address": decided(settings.triton.grpc_address, triton.GRPC_SETTING),
                "metrics_address": decided(settings.triton.metrics_address, triton.METRICS_SETTING),
            },
            "worker": {"metrics_address": decided(settings.worker.metrics_address, WORKER_SETTING)},
            "monitoring": {
                "prometheus_address": decided(settings.monitoring.prometheus_address, scrape.ADDRESS_SETTING),
                "model_metrics_address": decided(settings.monitoring.model_metrics_address, MODEL_SETTING),
            },
            "gateway": {"port": settings.gateway.port or free_port()},
            "stack": {"controller_port": settings.stack.controller_port or free_port()},
        },
    )


def _reachable(gateway: GatewaySettings) -> Address:
    """Where this machine reaches the gateway, also when it listens on every address."""
    return Address("127.0.0.1" if gateway.host in ("0.0.0.0", "::") else gateway.host, gateway.port)  # noqa: S104
