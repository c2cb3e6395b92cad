"""The two slots in which model versions run: their processes, their addresses, and the record that workers follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError
from contracts.releases import release_of, releases_folder, verify
from contracts.routes import KEY, PARTITION, Endpoint, Routes, encode_routes
from contracts.settings import KafkaSettings, Settings
from contracts.tensors import MODEL_NAMES
from contracts.topics import MODELS
from stack import triton
from stack.addresses import free_address
from stack.canary import Canary, KnownAnswer
from stack.environment import overridden
from stack.health import HealthRule
from stack.keeper import Service
from stack.priority import LOW, may_raise
from stack.process import Child
from stack.rollout import SLOTS, Rollout, RolloutFile
from stack.stubs import Stubs
from streams.inference import InferenceClient
from streams.kafka import KafkaLog
from streams.ports import Record

# A version that answers nobody has little of the processor, and its warm-up waits in the same queue as the canary.
_CANDIDATE_DEADLINE_SECONDS = 10.0
_CANDIDATE_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """Where one slot listens, each `host:port`."""

    grpc: str
    metrics: str
    model_metrics: str


class Rankers:
    """Everything about the slots but their keeping.

    The first slot has the configured addresses; the second takes free ports when it is filled, and the record tells them.

    Args:
        settings: of the stack, with every port decided, as the server signs in at the broker.
        needs: services without which a server cannot be well.

    Raises:
        ConfigurationError: the configured artefact is missing or cannot be exported.
    """

    def __init__(self, settings: Settings, needs: tuple[str, ...]) -> None:
        self._settings = settings
        self._needs = needs
        self._exported = triton.ensure_exported(settings)
        self._configured = KnownAnswer.read(self._exported).version
        self._releases = releases_folder(settings)
        self.file = RolloutFile(self._releases, self._configured)
        self.places = {
            SLOTS[0]: Place(
                settings.triton.grpc_address, settings.triton.metrics_address, settings.monitoring.model_metrics_address
            )
        }
        self.rollout = self.file.read()
        self.on_change: Callable[[], object] = lambda: None

    def folder(self, version: int) -> Path:
        """What the server of a version loads.

        Raises:
            ConfigurationError: it is neither the configured artefact's nor published.
        """
        if version == self._configured:
            return self._exported
        release_of(self._releases, version)
        return self._releases / str(version)

    def service(self, slot: str, version: int) -> Service:
        """The service of a slot; every start compares the files of a published version with their hashes.

        Raises:
            ConfigurationError: the version is not there.
        """
        folder = self.folder(version)
        if slot != SLOTS[0]:
            self.places[slot] = Place(free_address(), free_address(), free_address())
        place = self.places[slot]
        changes = {
            "triton": {"grpc_address": place.grpc, "metrics_address": place.metrics},
            "monitoring": {"model_metrics_address": place.model_metrics},
        }
        settings = overridden(self._settings, changes)
        server = triton.TritonServer(settings, folder, slot)
        client, known = InferenceClient(place.grpc), KnownAnswer.read(folder)
        encoder_deadline = settings.triton.encoder_deadline_ms / 1000
        strict = Canary(client, known, settings.stack.canary_deadline_ms / 1000, encoder_deadline)
        patient = Canary(client, known, _CANDIDATE_DEADLINE_SECONDS, encoder_deadline)

        stubs, started = Stubs(len(MODEL_NAMES)), list[Child]()

        def child() -> Child:
            started[:] = [server.child(nice=self._nice(slot))]
            return started[0]

        async def is_well() -> bool:
            canary = strict if slot == self.rollout.live else patient
            return stubs.are_alive(started[0].pid if started else None) and await canary.is_well()

        def prepare() -> None:
            if version != self._configured:
                verify(folder, release_of(self._releases, version))
            server.prepare()

        return Service(
            slot,
            child,
            is_well,
            self.rule(slot),
            interval_seconds=settings.stack.canary_seconds,
            stage=1,
            needs=self._needs,
            prepare=prepare,
            clear=server.remove_shared_memory,
            term_seconds=0.0,  # a server with a dead stub hangs when asked to end
        )

    def _nice(self, slot: str) -> int:
        """Low while the slot answers nobody, where it can be raised again."""
        return LOW if slot != self.rollout.live and may_raise() else 0

    def rule(self, slot: str) -> HealthRule:
        """How patient to be with a slot."""
        misses = self._settings.stack.canary_misses
        if slot == self.rollout.live:
            return HealthRule(start_seconds=180.0, misses=misses, hits=3)
        return HealthRule(start_seconds=300.0, misses=misses, miss_seconds=_CANDIDATE_PATIENCE_SECONDS, hits=3)

    def targets(self) -> dict[str, dict[str, str]]:
        """Addresses to scrape: job to process to `host:port`."""
        places = {slot: self.places[slot] for slot in self.rollout.slots if slot in self.places}
        return {
            "triton": {slot: place.metrics for slot, place in places.items()},
            "model": {slot: place.model_metrics for slot, place in places.items()},
        }

    def addresses(self) -> Mapping[str, str]:
        """Where every filled slot answers, `host:port` of gRPC."""
        return {slot: self.places[slot].grpc for slot in self.rollout.slots if slot in self.places}


def routes_of(rollout: Rollout, addresses: Mapping[str, str]) -> Routes:
    """The record that tells the workers of a rollout."""
    shadow = None
    if rollout.shadow is not None and rollout.shadow in addresses:  # not there: its files went away while the stack was down
        shadow = Endpoint(rollout.slots[rollout.shadow], addresses[rollout.shadow])
    live = Endpoint(rollout.live_version, addresses[rollout.live])
    return Routes(rollout.serial, live, shadow, rollout.share)


async def announce(settings: KafkaSettings, routes: Routes) -> None:
    """Write the record.

    Raises:
        BrokerUnavailable: the broker did not acknowledge it.
    """
    log = KafkaLog(settings)
    try:
        await log.start()
        await log.write([Record(settings.topic_prefix + MODELS, KEY, encode_routes(routes), PARTITION)])
    finally:
        with suppress(Exception):
            await log.stop()


def same_items(settings: Settings, version: int, configured_items: str) -> None:
    """Refuse a version whose item vectors are not those in the item topic.

    Raises:
        ConfigurationError: another item tower; the whole catalogue would have to be encoded anew for it.
    """
    found = release_of(releases_folder(settings), version).items_version
    if found != configured_items:
        message = (
            f"version {version} has another item tower ({found[:12]}; the shop's items are of {configured_items[:12]}): it "
            "cannot run beside the old one on one item topic. Serve it by VITRINE_MODEL__PATH and a restart (docs/rollout.md)"
        )
        raise ConfigurationError(message)
