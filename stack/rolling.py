"""Carries out what `rollout.json` says while the stack runs: starts and ends slots, tells the workers who answers."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from contracts.settings import Settings
from stack.keeper import Keeper, Service
from stack.principals import Role
from stack.priority import make_normal, may_raise
from stack.rankers import Rankers, announce, routes_of
from stack.rollout import SLOTS, Rollout
from stack.security import as_role

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_RETRY_SECONDS = 1.0


class Stage(Protocol):
    """What the supervisor lets a rollout do."""

    def keeper(self, name: str) -> Keeper | None:
        """The keeper of a service, None where there is none."""
        ...

    def begin(self, service: Service) -> None:
        """Keep one more service."""
        ...

    async def end(self, name: str) -> None:
        """End a service."""
        ...


class Rolling:
    """Follows the file.

    Args:
        rankers: the slots; their `rollout` is what has been carried out.
        settings: of the stack.
        stage: where services begin and end.
    """

    def __init__(self, rankers: Rankers, settings: Settings, stage: Stage) -> None:
        self._rankers = rankers
        self._operator = as_role(settings, Role.OPERATOR).kafka
        self._stage = stage
        self._told = 0

    async def run(self) -> None:
        """Follow until cancelled; what cannot be done yet is tried again."""
        broker = self._stage.keeper("kafka")
        if broker is not None:
            await broker.has_been_ready.wait()
        while True:
            try:
                await self._carry_out(await asyncio.to_thread(self._rankers.file.read))
            except Exception as error:  # noqa: BLE001 - whatever it is, the live model answers on and this is tried again
                log.warning("the rollout cannot be carried out yet", extra={"reason": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _carry_out(self, wanted: Rollout) -> None:
        done = self._rankers.rollout
        if wanted.serial != done.serial:
            await self._change(done, wanted)
        if wanted.serial != self._told:  # also once after a start: the addresses may be others than before
            await announce(self._operator, routes_of(wanted, self._rankers.addresses()))
            self._told = wanted.serial
            log.info("workers were told", extra={"serial": wanted.serial, "live": wanted.live_version})

    async def _change(self, done: Rollout, wanted: Rollout) -> None:
        for slot in SLOTS:
            before, after = done.slots.get(slot), wanted.slots.get(slot)
            if before != after and before is not None:
                await self._stage.end(slot)
        self._rankers.rollout = wanted
        try:
            for slot in SLOTS:
                before, after = done.slots.get(slot), wanted.slots.get(slot)
                if before != after and after is not None:
                    self._stage.begin(self._rankers.service(slot, after))
        except Exception:
            self._rankers.rollout = done  # it is not done, so it is tried again
            raise
        if wanted.live != done.live:
            self._exchange(done.live, wanted.live)
        self._rankers.on_change()

    def _exchange(self, old: str, new: str) -> None:
        """The new one gets its share of the processor before anybody asks it, and is watched as closely as the old was."""
        for slot in (new, old):
            keeper = self._stage.keeper(slot)
            if keeper is not None:
                keeper.obey(self._rankers.rule(slot))
                if keeper.pid is not None and slot == new and may_raise():
                    make_normal(keeper.pid)
