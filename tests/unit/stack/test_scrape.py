import json
from pathlib import Path

from contracts.settings import Settings
from stack.environment import overridden
from stack.scrape import Prometheus


def test_the_targets_of_a_stack_are_written_by_job_with_the_process_as_a_label(tmp_path: Path) -> None:
    settings = overridden(Settings(), {"stack": {"var": tmp_path}})
    Prometheus(settings, {"worker": {"worker-0": "h:1", "worker-1": "h:2"}, "triton": {"triton": "h:3"}}).prepare()
    worker = json.loads((tmp_path / "prometheus" / "targets" / "worker.json").read_text())
    assert worker == [
        {"targets": ["h:1"], "labels": {"job": "worker", "process": "worker-0"}},
        {"targets": ["h:2"], "labels": {"job": "worker", "process": "worker-1"}},
    ]
    assert (tmp_path / "prometheus" / "targets" / "triton.json").exists()
