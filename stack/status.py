"""What runs, in `<stack.var>/run/status.json`: written by the supervisor, read by the CLI and the tests."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from contracts.settings import StackSettings, resolve


@dataclass(frozen=True)
class ProcessStatus:
    """One supervised process; `pid` is None while it is being restarted."""

    name: str
    pid: int | None
    healthy: bool
    restarts: int


@dataclass(frozen=True)
class Status:
    """The whole stack.

    Attributes:
        up: whether a supervisor runs.
        processes: in the order in which they start.
        addresses: name to `host:port` or URL.
        notes: what is missing and why, in sentences.
    """

    up: bool = False
    processes: tuple[ProcessStatus, ...] = ()
    addresses: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    supervisor_pid: int | None = None
    supervisor_created: float | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether everything that should run does and is well."""
        return self.up and bool(self.processes) and all(process.healthy for process in self.processes)

    def public(self) -> dict[str, object]:
        """What `vitrine status --json` prints."""
        return {
            "up": self.up,
            "processes": [asdict(process) for process in self.processes],
            "addresses": self.addresses,
            "notes": list(self.notes),
        }


def status_file(settings: StackSettings) -> Path:
    """Where the supervisor of these settings writes."""
    return resolve(settings.var) / "run" / "status.json"


def write_status(file: Path, status: Status) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(asdict(status), indent=1))
    fresh.replace(file)


def read_status(file: Path) -> Status:
    """The newest status; `up=False` where no supervisor runs, whatever an older one left in the file."""
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError):
        return Status()
    processes = tuple(ProcessStatus(**process) for process in data.pop("processes"))
    status = Status(**{**data, "processes": processes, "notes": tuple(data["notes"])})
    return status if supervisor_of(status) is not None else Status()


def supervisor_of(status: Status) -> psutil.Process | None:
    """The living supervisor; the creation time tells it from a later process with the same number."""
    if status.supervisor_pid is None:
        return None
    try:
        process = psutil.Process(status.supervisor_pid)
        same = process.create_time() == status.supervisor_created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None
