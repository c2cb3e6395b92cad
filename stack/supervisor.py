"""The supervisor: starts a plan's services in order, keeps them, tells what runs, stops them in the reverse order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from contracts.locks import held
from contracts.settings import Settings, resolve
from stack.keeper import Keeper, Service
from stack.plan import Plan, Planner
from stack.rolling import Rolling
from stack.rollout import SLOTS
from stack.status import Status, status_file, write_status

log = logging.getLogger(__name__)


class Supervisor:
    """Runs one plan.

    Args:
        plan: what to run.
        file: where to write the status.
    """

    def __init__(self, plan: Plan, file: Path) -> None:
        self._plan = plan
        self._file = file
        self._created = psutil.Process().create_time()
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        for service in plan.services:
            self._keepers[service.name] = self._keeper(service)

    def _keeper(self, service: Service) -> Keeper:
        return Keeper(service, lambda: self._needed(service), self.publish)

    def _needed(self, service: Service) -> list[Keeper]:
        """Keepers of what a service needs; of the slots of models, the one that is live."""
        live = self._plan.rankers.rollout.live if self._plan.rankers is not None else SLOTS[0]
        names = [live if name == SLOTS[0] else name for name in service.needs]
        return [self._keepers[name] for name in names if name in self._keepers]

    def publish(self) -> None:
        """Write the status file; where that fails (a full disk), what runs goes on and the next change is tried."""
        try:
            write_status(self._file, self.status())
        except OSError as error:
            log.error("the status cannot be written", extra={"file": str(self._file), "reason": str(error)})  # noqa: TRY400

    def status(self) -> Status:
        """What runs now."""
        slots = self._plan.rankers.addresses() if self._plan.rankers is not None else {}
        return Status(
            up=True,
            processes=tuple(keeper.status() for keeper in self._keepers.values()),
            addresses={**self._plan.addresses, **slots},
            notes=self._plan.notes,
            supervisor_pid=os.getpid(),
            supervisor_created=self._created,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep everything running until `stop` is set, then end it.

        Raises:
            VitrineError: something could not be started at all.
        """
        self.publish()
        for name in self._keepers:
            self._keep(name)
        others = [asyncio.create_task(wait.wait()) for wait in (stop, self._over)]
        if self._plan.rankers is not None:
            rolling = Rolling(self._plan.rankers, self._plan.settings, self)
            self._tasks["rollout"] = asyncio.create_task(rolling.run())
        try:
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
        finally:
            tasks = [*self._tasks.values(), *others]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop_all()

    def _keep(self, name: str) -> None:
        task = self._tasks[name] = asyncio.create_task(self._keepers[name].run(), name=name)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A keeper that failed ends the stack; but for a model that is not live, which only stays away."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        rankers = self._plan.rankers
        if rankers is not None and task.get_name() in SLOTS and task.get_name() != rankers.rollout.live:
            log.error("this model cannot be started", extra={"process_name": task.get_name(), "reason": str(error)})
            return
        self._failure = error
        self._over.set()

    # ---- `stack.rolling.Stage`

    def keeper(self, name: str) -> Keeper | None:
        """The keeper of a service, None where there is none."""
        return self._keepers.get(name)

    def begin(self, service: Service) -> None:
        """Keep one more service."""
        self._keepers[service.name] = self._keeper(service)
        self._keep(service.name)
        self.publish()

    async def end(self, name: str) -> None:
        """End a service; one that could not be started when the stack came up is not there."""
        task, keeper = self._tasks.pop(name, None), self._keepers.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if keeper is not None:
            await keeper.stop()
        self.publish()

    async def _stop_all(self) -> None:
        stages = sorted({keeper.service.stage for keeper in self._keepers.values()}, reverse=True)
        for stage in stages:
            await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values() if keeper.service.stage == stage))
            self.publish()
        self._file.unlink(missing_ok=True)


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold the lock of a var folder.

    Raises:
        ConfigurationError: another supervisor holds it.
    """
    with held(var / "run", f"VITRINE_STACK__VAR={var}: a stack is up there already; see `vitrine status`"):
        yield


async def supervise(settings: Settings) -> None:
    """Run the stack of these settings until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: a port is taken, a program is missing, a stack runs in this var folder already.
        VitrineError: something could not be started.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with only_one(resolve(settings.stack.var)):
        async with httpx.AsyncClient(trust_env=False) as web:
            plan = Planner(settings, web).plan()
            plan.require_free_ports()
            await Supervisor(plan, status_file(settings.stack)).run(stop)
