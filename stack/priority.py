"""Processor priority of a version that nobody waits for yet: low while it loads and is tried, normal once it answers."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import psutil

LOW = 10
_CAP_SYS_NICE = 23


def may_raise() -> bool:
    """Whether this process may give a low priority back: capability CAP_SYS_NICE or a limit RLIMIT_NICE of 20 (nice 0)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NICE)
    if soft == resource.RLIM_INFINITY or soft >= 20:
        return True
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_NICE & 1)


def make_normal(pid: int) -> None:
    """Give a process, its descendants and all their threads the priority of this one; what ended meanwhile is left."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            for thread in Path(f"/proc/{one.pid}/task").glob("*"):
                with suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), usual)
