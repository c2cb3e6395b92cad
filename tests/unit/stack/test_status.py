import os
from pathlib import Path

import psutil

from stack.status import ProcessStatus, Status, read_status, write_status


def of_this_process(**changes: object) -> Status:
    created = psutil.Process().create_time()
    fields: dict[str, object] = {"up": True, "supervisor_pid": os.getpid(), "supervisor_created": created, **changes}
    return Status(**fields)  # type: ignore[arg-type]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    status = of_this_process(
        processes=(ProcessStatus("kafka", 12, healthy=True, restarts=1),), addresses={"broker": "h:1"}, notes=("a note",)
    )
    write_status(tmp_path / "run" / "status.json", status)
    assert read_status(tmp_path / "run" / "status.json") == status


def test_a_file_that_a_dead_supervisor_left_means_down(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    write_status(file, of_this_process(supervisor_created=1.0))  # the number was given to another process since
    assert not read_status(file).up


def test_no_file_or_a_broken_one_means_down(tmp_path: Path) -> None:
    assert not read_status(tmp_path / "none.json").up
    (tmp_path / "half.json").write_text('{"up": tr')
    assert not read_status(tmp_path / "half.json").up


def test_the_stack_is_healthy_only_when_every_process_is() -> None:
    good = ProcessStatus("a", 1, healthy=True, restarts=0)
    bad = ProcessStatus("b", None, healthy=False, restarts=2)
    assert of_this_process(processes=(good,)).is_healthy
    assert not of_this_process(processes=(good, bad)).is_healthy
    assert not of_this_process(processes=()).is_healthy


def test_the_public_form_has_the_promised_fields() -> None:
    public = of_this_process(processes=(ProcessStatus("a", 1, healthy=True, restarts=0),)).public()
    assert public == {
        "up": True,
        "processes": [{"name": "a", "pid": 1, "healthy": True, "restarts": 0}],
        "addresses": {},
        "notes": [],
    }
