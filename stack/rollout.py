"""Which model version runs in which slot, and which of them answers: the operator's wish, kept in one file.

Two slots, blue and green (Fowler, BlueGreenDeployment, 2010): the new version starts beside the old one, which goes on
until the operator ends it. The transitions are pure; each refuses what would not be safe. The supervisor carries out what
the file says (`stack.supervisor`), also after a restart.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from contracts.errors import ConfigurationError

SLOTS = ("triton", "triton-2")
FILE = "rollout.json"


@dataclass(frozen=True)
class Rollout:
    """Everything that is wished.

    Attributes:
        slots: version by name of the slot; an empty slot is not in it.
        live: slot that answers for visitors.
        before: slot that did before the last flip, None after it was ended.
        shadow: slot that gets copies of live requests, None for nobody.
        share: part of the live requests that is copied.
        warm: versions that have answered the recorded requests.
        serial: number of changes.
    """

    slots: Mapping[str, int] = field(default_factory=dict)
    live: str = SLOTS[0]
    before: str | None = None
    shadow: str | None = None
    share: float = 0.0
    warm: tuple[int, ...] = ()
    serial: int = 0

    @property
    def live_version(self) -> int:
        """The version that answers."""
        return self.slots[self.live]

    def slot_of(self, version: int) -> str:
        """Where a version runs.

        Raises:
            ConfigurationError: it does not run; the message lists those that do.
        """
        for slot, running in self.slots.items():
            if running == version:
                return slot
        others = ", ".join(str(running) for running in self.slots.values())
        message = f"version {version} does not run; running: {others}. `vitrine models shadow {version}` starts it"
        raise ConfigurationError(message)


def _changed(rollout: Rollout, **fields: object) -> Rollout:
    return replace(rollout, serial=rollout.serial + 1, **fields)  # type: ignore[arg-type]


def started(rollout: Rollout, version: int) -> Rollout:
    """With the version in the free slot; unchanged if it runs already.

    Raises:
        ConfigurationError: both slots are taken by others.
    """
    if version in rollout.slots.values():
        return rollout
    free = [slot for slot in SLOTS if slot not in rollout.slots]
    if not free:
        other = next(running for slot, running in rollout.slots.items() if slot != rollout.live)
        message = (
            f"version {version} has no place: {rollout.live_version} is live and {other} runs beside it; "
            f"end that one first: vitrine models retire {other}"
        )
        raise ConfigurationError(message)
    warm = tuple(known for known in rollout.warm if known != version)
    return _changed(rollout, slots={**rollout.slots, free[0]: version}, warm=warm)


def warmed(rollout: Rollout, version: int) -> Rollout:
    """With the version marked as warm.

    Raises:
        ConfigurationError: it does not run.
    """
    rollout.slot_of(version)
    return replace(rollout, warm=tuple(sorted({*rollout.warm, version})))


def shadowed(rollout: Rollout, version: int, share: float) -> Rollout:
    """With the version asked on the side for a share of the live requests; share 0 ends it.

    Raises:
        ConfigurationError: it does not run, it is live, or the share is not between 0 and 1.
    """
    slot = rollout.slot_of(version)
    if slot == rollout.live:
        message = f"version {version} is live: it cannot be its own shadow"
        raise ConfigurationError(message)
    if not 0 <= share <= 1:
        message = f"share is {share}, expected 0 to 1"
        raise ConfigurationError(message)
    return _changed(rollout, shadow=slot if share else None, share=share)


def flipped(rollout: Rollout, version: int) -> Rollout:
    """With the version live and the one before kept running.

    Raises:
        ConfigurationError: it does not run, is live already, or has not answered the recorded requests.
    """
    slot = rollout.slot_of(version)
    if slot == rollout.live:
        message = f"version {version} is live already"
        raise ConfigurationError(message)
    if version not in rollout.warm:
        message = (
            f"version {version} is not eligible: it has not answered the recorded requests; `vitrine models shadow {version}`"
        )
        raise ConfigurationError(message)
    return _changed(rollout, live=slot, before=rollout.live, shadow=None, share=0.0)


def rolled_back(rollout: Rollout) -> Rollout:
    """With the version live again that was before the last flip.

    Raises:
        ConfigurationError: there was no flip, or that version was ended.
    """
    if rollout.before is None or rollout.before not in rollout.slots:
        message = f"nothing to roll back to: {rollout.live_version} is live and no earlier version runs"
        raise ConfigurationError(message)
    return _changed(rollout, live=rollout.before, before=rollout.live, shadow=None, share=0.0)


def retired(rollout: Rollout, version: int) -> Rollout:
    """Without the version.

    Raises:
        ConfigurationError: it does not run, or it is live.
    """
    slot = rollout.slot_of(version)
    if slot == rollout.live:
        message = f"version {version} is live: flip to another one before ending it"
        raise ConfigurationError(message)
    return _changed(
        rollout,
        slots={name: running for name, running in rollout.slots.items() if name != slot},
        before=None if rollout.before == slot else rollout.before,
        shadow=None if rollout.shadow == slot else rollout.shadow,
        share=0.0 if rollout.shadow == slot else rollout.share,
        warm=tuple(known for known in rollout.warm if known != version),
    )


class RolloutFile:
    """The file of one stack.

    Args:
        folder: `contracts.releases.releases_folder`.
        configured: version of the artefact that the settings name: what runs while nothing else was wished.
    """

    def __init__(self, folder: Path, configured: int) -> None:
        self._folder = folder
        self._configured = configured

    def read(self) -> Rollout:
        """The newest wish.

        Raises:
            ConfigurationError: the file is damaged.
        """
        file = self._folder / FILE
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            rollout = Rollout(**{**values, "warm": tuple(values["warm"])})
            slots = dict(rollout.slots)
            if rollout.live not in slots or not set(slots) <= set(SLOTS):
                message = f"{file}: live is {rollout.live!r}, slots are {slots}, expected a live one of {SLOTS}"
                raise ConfigurationError(message)
        except FileNotFoundError:
            return Rollout(slots={SLOTS[0]: self._configured})
        except (KeyError, TypeError, ValueError) as error:
            message = f"{file}: {type(error).__name__}: {error}; delete it to serve the configured artefact alone"
            raise ConfigurationError(message) from error
        return rollout

    def change(self, transition: Callable[[Rollout], Rollout]) -> Rollout:
        """Read, change, and write in one step that no other operator comes between.

        Returns:
            The rollout after the change.

        Raises:
            ConfigurationError: the transition refuses; nothing was written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".rollout.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rollout = transition(self.read())
            fresh = self._folder / f".{FILE}.{os.getpid()}"
            fresh.write_text(json.dumps(asdict(rollout), indent=1) + "\n", encoding="utf-8")
            fresh.replace(self._folder / FILE)
        return rollout
