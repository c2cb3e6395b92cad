"""`config/default.toml` says what the code does: every setting, its default, and a sentence on each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contracts.settings import ROOT, Settings

FILE = ROOT / "config" / "default.toml"
_ENTRY = re.compile(r"^(?P<absent># )?(?P<name>[a-z_]+) = ")
_TABLE = re.compile(r"^\[(?P<table>[a-z_.]+)\]$")


def fields() -> Iterator[tuple[str, Any]]:
    """Dotted name and default of every setting in the code."""
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            yield from ((f"{name}.{own}", getattr(default, own)) for own in type(default).model_fields)
        else:
            yield name, default


def entries() -> dict[str, str]:
    """Dotted name of everything that the file names, also what is commented out, and the line before it."""
    found: dict[str, str] = {}
    table, before = "", ""
    for line in FILE.read_text().splitlines():
        if (header := _TABLE.match(line)) is not None:
            table = header["table"] + "."
            found[table.rstrip(".")] = before
        elif (entry := _ENTRY.match(line)) is not None:
            found[table + entry["name"]] = before
        before = line
    return found


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that `VITRINE_CONFIG` names."""
    file = tmp_path / "own.toml"
    monkeypatch.setenv("VITRINE_CONFIG", str(file))
    return file


def test_the_file_lists_every_setting_and_no_other() -> None:
    listed = set(entries())
    wanted = {name for name, _ in fields()}
    assert wanted - listed == set()
    examples = {f"gateway.{kind}_keys.default" for kind in ("api", "browser", "operator")}
    assert listed - wanted - set(Settings.model_fields) == examples


def test_the_file_gives_every_setting_that_has_a_value() -> None:
    given = tomllib.loads(FILE.read_text())
    for name, default in fields():
        value: Any = given
        for part in name.split("."):
            value = value.get(part) if value is not None else None
        assert (value is None) == (default is None), name


def test_every_setting_has_a_sentence_before_it() -> None:
    wanted = {name for name, _ in fields()} | set(Settings.model_fields)
    bare = [name for name, before in entries().items() if name in wanted and not re.match(r"^# .*\.$", before)]
    assert bare == []


def test_the_file_gives_the_codes_defaults(own_file: Path) -> None:
    assert not own_file.exists()
    of_code = Settings()
    own_file.write_text(FILE.read_text())
    assert Settings() == of_code


def test_the_file_is_read_unless_another_is_named(own_file: Path) -> None:
    own_file.write_text('tenant_id = "elsewhere"\n[kafka]\npartitions = 3\n')
    settings = Settings()
    assert (settings.tenant_id, settings.kafka.partitions) == ("elsewhere", 3)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"


def test_the_environment_beats_the_file_and_arguments_beat_both(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file.write_text("[kafka]\npartitions = 3\nreplication_factor = 2\n[page]\ngrid_size = 5\n")
    monkeypatch.setenv("VITRINE_KAFKA__PARTITIONS", "4")
    monkeypatch.setenv("VITRINE_PAGE__GRID_SIZE", "6")
    settings = Settings(page={"grid_size": 7})
    assert settings.kafka.partitions == 4
    assert settings.kafka.replication_factor == 2
    assert settings.page.grid_size == 7


def test_a_name_that_does_not_exist_is_refused(own_file: Path) -> None:
    own_file.write_text("[kafka]\npartitons = 3\n")
    with pytest.raises(ValidationError, match="partitons"):
        Settings()
