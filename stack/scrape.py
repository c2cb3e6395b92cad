"""The real Prometheus of the stack: its configuration is monitoring/prometheus.yml, its targets are written here.

At every start `monitoring/*.yml` is copied to `<stack.var>/prometheus/` and the targets of this stack are written to
`<stack.var>/prometheus/targets/<job>.json` in Prometheus's file_sd form, with the labels `job` and `process`. The jobs
are worker, catalog, model (the rankers' own metrics), triton, gateway. So prometheus.yml says
`file_sd_configs: [{files: [targets/*.json]}]`, relative to itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from contracts.settings import ROOT, Settings, resolve
from stack.addresses import parse_address
from stack.environment import child_environment
from stack.process import Child

SOURCE = ROOT / "monitoring"
ADDRESS_SETTING = "VITRINE_MONITORING__PROMETHEUS_ADDRESS"
_RETENTION = "7d"


def why_not() -> str | None:
    """Why Prometheus cannot run here, None if it can."""
    if shutil.which("prometheus") is None:
        return "Prometheus is not installed (Debian: apt-get install prometheus): metrics are served but nothing collects them"
    return None


class Prometheus:
    """Prepares Prometheus's folder and its process.

    Args:
        settings: address and var folder.
        targets: job to process name to `host:port`.
    """

    def __init__(self, settings: Settings, targets: Mapping[str, Mapping[str, str]]) -> None:
        self.address = parse_address(settings.monitoring.prometheus_address, ADDRESS_SETTING)
        self._settings = settings
        self._targets = targets
        self._var = resolve(settings.stack.var)
        self._folder = self._var / "prometheus"

    def prepare(self) -> None:
        """Write configuration and targets."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for source in SOURCE.glob("*.yml"):
            shutil.copyfile(source, self._folder / source.name)
        for left in (self._folder / "targets").glob("*.json"):  # of a start with other processes
            left.unlink()
        self.write_targets()

    def write_targets(self) -> None:
        """Write the targets, once more when they have changed: Prometheus reads the files again by itself."""
        folder = self._folder / "targets"
        folder.mkdir(parents=True, exist_ok=True)
        for job, processes in self._targets.items():
            groups = [
                {"targets": [address], "labels": {"job": job, "process": process}} for process, address in processes.items()
            ]
            (folder / f"{job}.json").write_text(json.dumps(groups, indent=1))

    def child(self) -> Child:
        """The process, not started."""
        command = [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--storage.tsdb.retention.time={_RETENTION}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]
        return Child("prometheus", command, child_environment(self._settings), self.log_file, self._folder)

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self._var / "log" / "prometheus.log"
