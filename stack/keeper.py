"""Keeps one service running: starts it, watches its health, replaces it when it died or hangs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from contracts.errors import DependencyError
from stack.health import Backoff, HealthJudge, HealthRule, Verdict
from stack.process import Child
from stack.status import ProcessStatus

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def _nothing() -> None:
    """For services that need no preparation or clearing away."""


@dataclass(frozen=True)
class Service:
    """A process to keep.

    Attributes:
        name: in status and logs.
        child: makes the process for one start.
        probe: whether it is well; a false or late answer is a miss, None that it is not well yet but gets on, and may.
        rule: how patient to be.
        interval_seconds: between two probes.
        stage: services of a lower stage start before and end after those of a higher one.
        needs: names of services without which this one cannot be well; while one of them is not, misses are excused.
        prepare: run before each start, in a thread.
        clear: run after each end, in a thread.
        ready: run once after the first time that it is healthy, in a thread.
        term_seconds: patience between SIGTERM and SIGKILL; 0 kills at once when it is to be replaced.
    """

    name: str
    child: Callable[[], Child]
    probe: Callable[[], Awaitable[bool | None]]
    rule: HealthRule = field(default_factory=HealthRule)
    interval_seconds: float = 1.0
    stage: int = 0
    needs: tuple[str, ...] = ()
    prepare: Callable[[], object] = _nothing
    clear: Callable[[], object] = _nothing
    ready: Callable[[], object] = _nothing
    term_seconds: float = 5.0


class Keeper:
    """Runs one service until it is stopped.

    Args:
        service: what to keep.
        needed: keepers of the services it needs, asked anew each time: another one may take a service's place.
        changed: called whenever the status may have changed.
    """

    def __init__(self, service: Service, needed: Callable[[], Sequence[Keeper]], changed: Callable[[], None]) -> None:
        self.service = service
        self.restarts = 0
        self.has_been_ready = asyncio.Event()
        self._needed = needed
        self._changed = changed
        self._child: Child | None = None
        self._judge = HealthJudge(service.rule, time.monotonic())
        self._backoff = Backoff()

    @property
    def is_healthy(self) -> bool:
        """Whether the process runs and its newest probes were good."""
        return self._child is not None and self._child.is_alive and self._judge.is_healthy

    @property
    def pid(self) -> int | None:
        """Process id while the process runs."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    def obey(self, rule: HealthRule) -> None:
        """Be as patient as this rule says from now on."""
        self.service = replace(self.service, rule=rule)
        self._judge.rule = rule

    def status(self) -> ProcessStatus:
        """For the status file."""
        return ProcessStatus(self.service.name, self.pid, self.is_healthy, self.restarts)

    def log_tail(self) -> str:
        """The end of the process's log."""
        return self._child.log_tail() if self._child is not None else ""

    async def run(self) -> None:
        """Start when what it needs has been ready once, then watch until cancelled."""
        for keeper in self._needed():
            await keeper.has_been_ready.wait()
        self._backoff.next(time.monotonic())
        await self._start()
        while True:
            await self._until_next_probe()
            if self._child is None or not self._child.is_alive:
                await self._replace("it ended")
            elif await self._verdict() is Verdict.REPLACE:
                await self._replace("it did not answer as it should")

    async def stop(self) -> None:
        """End the process; call it after `run` was cancelled."""
        if self._child is not None:
            await asyncio.to_thread(self._child.stop, max(self.service.term_seconds, 5.0))
        await asyncio.to_thread(self.service.clear)

    async def _until_next_probe(self) -> None:
        """Wait for the interval, less while the process is not healthy, and not at all once it has ended."""
        is_waiting = not self._judge.is_healthy
        deadline = time.monotonic() + (_POLL_SECONDS if is_waiting else self.service.interval_seconds)
        while time.monotonic() < deadline and self._child is not None and self._child.is_alive:  # noqa: ASYNC110 - nobody tells that it ended
            await asyncio.sleep(_POLL_SECONDS)

    async def _start(self) -> None:
        await asyncio.to_thread(self.service.prepare)
        self._child = self.service.child()
        self._child.start()  # in the main thread: the kernel binds the child's life to the thread that forks
        self._judge = HealthJudge(self.service.rule, time.monotonic())
        self._changed()

    async def _verdict(self) -> Verdict:
        was = self._judge.is_healthy
        is_good = await self.service.probe()
        if is_good is None or (not is_good and not all(keeper.is_healthy for keeper in self._needed())):
            self._judge.excuse(time.monotonic())
            verdict = Verdict.UNHEALTHY
        else:
            verdict = self._judge.observe(is_good, time.monotonic())
        if self._judge.is_healthy and not self.has_been_ready.is_set():
            await self._first_time()
        if self._judge.is_healthy is not was:
            log.info("health changed", extra={"process_name": self.service.name, "healthy": self._judge.is_healthy})
            self._changed()
        return verdict

    async def _first_time(self) -> None:
        try:
            await asyncio.to_thread(self.service.ready)
        except DependencyError as error:  # it answers, but not everything yet: the next probe tries again
            log.warning("not ready yet", extra={"process_name": self.service.name, "reason": str(error)})
        else:
            self.has_been_ready.set()

    async def _replace(self, why: str) -> None:
        child = self._child
        self._judge.excuse(time.monotonic())
        if child is not None:
            details = {"process_name": self.service.name, "reason": why, "exit_status": child.exit_status}
            log.warning("process is replaced", extra=details)
            await asyncio.to_thread(child.stop, self.service.term_seconds)
        self._changed()
        await asyncio.to_thread(self.service.clear)
        await asyncio.sleep(self._backoff.next(time.monotonic()))
        self.restarts += 1
        await self._start()
