"""The bills of materials name everything that is pinned, with its hash; the audit does not call silence clean."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import ROOT
from stack import audit, bill
from stack.audit import Findings, read_report


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", bill.lock_files(), ids=lambda lock: lock.stem)
def test_every_package_of_a_lock_file_is_pinned_with_hashes(lock: Path) -> None:
    packages = bill.pinned(lock)
    lines = [line for line in lock.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(packages) == len(lines)
    assert all(package.hashes for package in packages)


def test_the_bill_of_a_lock_file_lists_every_package_with_all_its_hashes(tmp_path: Path) -> None:
    lock = ROOT / "requirements" / "stub.txt"
    listed = {(normal(n), v): held for (n, v), held in bill.hashes_of(bill.of_requirements(lock, tmp_path)).items()}
    wanted = {(normal(package.name), package.version): package.hashes for package in bill.pinned(lock)}
    assert set(listed) == set(wanted)
    assert {place: sorted(set(hashes) - listed[place]) for place, hashes in wanted.items() if set(hashes) - listed[place]} == {}


def test_the_bill_of_the_jars_lists_every_jar_with_its_hash(tmp_path: Path) -> None:
    listed = bill.hashes_of(bill.of_jars(bill.JARS, tmp_path))
    jars = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in bill.JARS.glob("*.jar")}
    assert len(jars) > 30
    assert {f"{name}-{version}.jar": held for (name, version), held in listed.items()} == {n: {h} for n, h in jars.items()}
    kafka = next(
        c for c in json.loads((tmp_path / "kafka-jars.cdx.json").read_text())["components"] if c["name"] == "kafka_2.13"
    )
    assert kafka["purl"].startswith("pkg:maven/org.apache.kafka/kafka_2.13@")


def test_a_jar_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    (tmp_path / bill.COORDINATES).write_text("   org.example:known:jar:1.0:compile\n")
    (tmp_path / "known-1.0.jar").write_bytes(b"x")
    (tmp_path / "stranger-2.0.jar").write_bytes(b"y")
    with pytest.raises(ConfigurationError, match=r"does not name stranger-2\.0\.jar"):
        bill.of_jars(tmp_path, tmp_path)


def test_a_package_without_a_hash_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("good==1.0 \\\n    --hash=sha256:" + "a" * 64 + "\nbare==2.0\n")
    with pytest.raises(ConfigurationError, match="bare"):
        bill.pinned(lock)


def report(*packages: dict[str, Any]) -> Findings:
    findings = Findings()
    read_report(findings, "app.txt", {"dependencies": list(packages)})
    return findings


CLEAN_PACKAGE: dict[str, Any] = {"name": "good", "version": "1.0", "vulns": []}
BAD_PACKAGE: dict[str, Any] = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
SKIPPED: dict[str, Any] = {"name": "gone", "skip_reason": "not found"}


def test_the_exit_status_tells_found_from_clean_from_not_asked() -> None:
    assert report(CLEAN_PACKAGE).exit_status == audit.CLEAN
    assert report(CLEAN_PACKAGE, SKIPPED).exit_status == audit.NOT_ASKED
    assert report().exit_status == audit.NOT_ASKED
    assert report(CLEAN_PACKAGE, SKIPPED, BAD_PACKAGE).exit_status == audit.FOUND
    assert report(BAD_PACKAGE).vulnerable == ["app.txt: bad 2.0: PYSEC-1, fixed in 2.1"]


def test_a_service_that_is_away_is_said_in_words_and_is_not_called_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "SERVICE", "http://127.0.0.1:9/v1/query")  # the discard port: nobody answers
    assert audit.main([]) == audit.NOT_ASKED
    assert audit.main(["--if-reachable"]) == audit.CLEAN
    assert "cannot be reached" in capsys.readouterr().err
