"""The operator's steps between versions, each ending when it has really happened: what `vitrine models` does."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from contracts.releases import items_version, read_manifest, release_of, releases_folder, verify
from contracts.settings import Settings, resolve
from stack import control
from stack.control import StackFailed
from stack.rankers import same_items
from stack.rollout import Rollout, RolloutFile, flipped, retired, rolled_back, shadowed, started, warmed
from stack.status import Status
from stack.triton import exported_models

START_SECONDS = 240.0
CHANGE_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_WATCH_SECONDS = 0.5
FALLBACK_SHARE = 0.01
_FEWEST_FALLBACKS = 3
_PAGES = "vitrine_pages_total"
_FAMILIES = ("vitrine_route", "vitrine_shadow", "vitrine_recorded", "vitrine_pages")
_LABELS = ("outcome", "model", "degraded")
_SHADOW_ROWS = ("compared", "failed", "wrong_version", "dropped")


@dataclass(frozen=True)
class ShadowFigures:
    """How a shadow's answers differ from the live ones, over all workers.

    Attributes:
        rows: copied requests by outcome.
        overlap: mean overlap of the best 20; None before the first comparison.
        correlation: mean rank correlation.
        live_score: mean click probability of the live answers' best 20.
        shadow_score: the shadow's.
        stability: the highest population stability index of a worker.
    """

    rows: Mapping[str, int]
    overlap: float | None
    correlation: float | None
    live_score: float
    shadow_score: float
    stability: float


class Operator:
    """The steps for one stack.

    Args:
        settings: of the stack.

    Raises:
        ConfigurationError: the configured artefact has not been exported.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        manifest = read_manifest(resolve(settings.model.path))
        self.configured = int(manifest["version"])
        self.items = items_version(manifest)
        self.releases = releases_folder(settings)
        self.file = RolloutFile(self.releases, self.configured)
        self.exported = exported_models(settings)

    def rollout(self) -> Rollout:
        """What is wished now."""
        return self.file.read()

    def address_of(self, version: int) -> str:
        """Where a running version answers.

        Raises:
            ConfigurationError: it does not run.
        """
        return self._running().addresses[self.rollout().slot_of(version)]

    def _running(self) -> Status:
        now = control.status(self._settings)
        if not now.up:
            message = "the stack is down: `vitrine up` starts it"
            raise StackFailed(message)
        return now

    def check(self, version: int) -> None:
        """Refuse a version that is not published, is damaged, or has other items.

        Raises:
            ConfigurationError: saying which.
        """
        if version == self.configured:
            return
        release = release_of(self.releases, version)
        verify(self.releases / str(version), release)
        same_items(self._settings, version, self.items)

    def start(self, version: int, progress: Callable[[], object] = lambda: None) -> None:
        """Start a version beside the live one and wait until its canary is well.

        Raises:
            ConfigurationError: see :meth:`check`; or both slots are taken.
            StackFailed: the stack is down, or the version did not get well; it is ended again.
        """
        self._running()
        self.check(version)
        slot = self.file.change(lambda rollout: started(rollout, version)).slot_of(version)
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = next((process for process in self._running().processes if process.name == slot), None)
            if found is not None and found.healthy:
                return
            if time.monotonic() > deadline or (found is not None and found.restarts >= 3):
                self.file.change(lambda rollout: retired(rollout, version))
                log_file = resolve(self._settings.stack.var) / "log" / f"{slot}.log"
                message = f"version {version} did not get well and was ended; see {log_file} and the supervisor's log beside it"
                raise StackFailed(message)
            progress()
            time.sleep(_LOOK_SECONDS)

    def is_warm(self, version: int) -> None:
        """Note that a version has answered the recorded requests."""
        self.file.change(lambda rollout: warmed(rollout, version))

    def shadow(self, version: int, share: float) -> float:
        """Have a share of the live requests copied to a running version; seconds until every worker does."""
        return self._until_done(self.file.change(lambda rollout: shadowed(rollout, version, share)))

    def flip(self, version: int) -> float:
        """Make a version live; seconds until every worker asks it.

        Raises:
            ConfigurationError: it is not eligible, or its items are not those of the shop.
            StackFailed: it is not well, or a worker did not change in time.
        """
        self.check(version)
        slot = self.rollout().slot_of(version)
        if not any(process.name == slot and process.healthy for process in self._running().processes):
            message = f"version {version} is not well now (see `vitrine status`): visitors would get fallback pages"
            raise StackFailed(message)
        return self._until_done(self.file.change(lambda rollout: flipped(rollout, version)))

    def roll_back(self) -> float:
        """Make the version before the last flip live again; seconds until every worker asks it."""
        return self._until_done(self.file.change(rolled_back))

    def watch(self, seconds: float, tick: Callable[[], object] = lambda: None) -> str | None:
        """Watch the pages for a while; why the live version should be taken back, or None.

        More than `FALLBACK_SHARE` of the pages being fallbacks is a reason; so is a server that is not well at the end.
        """
        before = self.counted()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(_WATCH_SECONDS)
            tick()
            now = self.counted()
            fallbacks, full = (now[f"{_PAGES}:{name}"] - before[f"{_PAGES}:{name}"] for name in ("true", "false"))
            if fallbacks >= _FEWEST_FALLBACKS and fallbacks > FALLBACK_SHARE * (fallbacks + full):
                return f"{fallbacks:.0f} of {fallbacks + full:.0f} pages since then were fallbacks"
        slot = self.rollout().live
        if not any(process.name == slot and process.healthy for process in self._running().processes):
            return "its server is not well"
        return None

    def retire(self, version: int) -> float:
        """End a version that is not live; seconds until it is gone."""
        slot = self.rollout().slot_of(version)
        begun = time.monotonic()
        took = self._until_done(self.file.change(lambda rollout: retired(rollout, version)))
        while any(process.name == slot for process in self._running().processes):
            if time.monotonic() - begun > CHANGE_SECONDS:
                message = f"version {version} did not end within {CHANGE_SECONDS:.0f} s"
                raise StackFailed(message)
            time.sleep(_LOOK_SECONDS)
        return max(took, time.monotonic() - begun)

    def _until_done(self, rollout: Rollout) -> float:
        begun = time.monotonic()
        while True:
            late = [name for name, values in self.workers().items() if values.get("vitrine_route_serial", 0) < rollout.serial]
            waited = time.monotonic() - begun
            if not late:
                return waited
            if waited > CHANGE_SECONDS:
                message = f"{', '.join(late)} did not change within {CHANGE_SECONDS:.0f} s; they go on trying, see their logs"
                raise StackFailed(message)
            time.sleep(_LOOK_SECONDS)

    def workers(self) -> dict[str, dict[str, float]]:
        """Metrics of the versions and the pages of each events worker, by name and label value; empty where none answers."""
        addresses = {name: at for name, at in self._running().addresses.items() if name.startswith("worker-")}
        with httpx.Client(trust_env=False, timeout=2.0) as web:
            return {name: _metrics(web, address) for name, address in addresses.items()}

    def counted(self) -> dict[str, float]:
        """Every counter, added up over the workers: what :meth:`figures` and :meth:`watch` begin from."""
        total: dict[str, float] = defaultdict(float)
        for values in self.workers().values():
            for name, value in values.items():
                total[name] += value
        return total

    def figures(self, since: Mapping[str, float]) -> ShadowFigures:
        """How the shadow's answers differ, counted from an earlier :meth:`counted` on."""
        workers = list(self.workers().values())
        total: dict[str, float] = defaultdict(float, {name: -value for name, value in since.items()})
        for values in workers:
            for name, value in values.items():
                total[name] += value
        means = {
            model: [values[name] for values in workers if (name := f"vitrine_shadow_score_mean:{model}") in values]
            for model in ("live", "shadow")
        }
        return ShadowFigures(
            rows={outcome: int(total[f"vitrine_shadow_rows_total:{outcome}"]) for outcome in _SHADOW_ROWS},
            overlap=_mean(total, "vitrine_shadow_overlap"),
            correlation=_mean(total, "vitrine_shadow_rank_correlation"),
            live_score=statistics.fmean(means["live"] or [0.0]),
            shadow_score=statistics.fmean(means["shadow"] or [0.0]),
            stability=max((values.get("vitrine_shadow_score_psi", 0.0) for values in workers), default=0.0),
        )


def _mean(total: Mapping[str, float], name: str) -> float | None:
    count = total.get(f"{name}_count", 0.0)
    return total[f"{name}_sum"] / count if count else None


def _metrics(web: httpx.Client, address: str) -> dict[str, float]:
    try:
        text = web.get(f"http://{address}/metrics").text
    except httpx.HTTPError:
        return {}
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        if family.name.startswith(_FAMILIES):
            for sample in family.samples:
                labels = (value for key, value in sample.labels.items() if key in _LABELS)
                found[":".join((sample.name, *labels))] += sample.value
    return found
