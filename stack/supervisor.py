"""The supervisor: starts a plan's services in order, keeps them, tells what runs, stops them in the reverse order."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from contracts.errors import ConfigurationError
from contracts.settings import Settings, resolve
from stack.keeper import Keeper
from stack.plan import Plan, Planner
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
        for service in plan.services:
            needed = [self._keepers[name] for name in service.needs]
            self._keepers[service.name] = Keeper(service, needed, self.publish)

    def publish(self) -> None:
        """Write the status file."""
        write_status(self._file, self.status())

    def status(self) -> Status:
        """What runs now."""
        return Status(
            up=True,
            processes=tuple(keeper.status() for keeper in self._keepers.values()),
            addresses=self._plan.addresses,
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
        tasks = [asyncio.create_task(keeper.run(), name=name) for name, keeper in self._keepers.items()]
        waiting = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
            await self._stop_all()

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
    folder = var / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"VITRINE_STACK__VAR={var}: a stack is up there already; see `vitrine status`"
            raise ConfigurationError(message) from error
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
