"""Bills of materials (CycloneDX 1.6): every pinned Python package and every jar of the embedded broker, with SHA-256.

`python -m stack.bill` writes `var/sbom/<name>.cdx.json`: one for each lock file of `requirements/`, by cyclonedx-py, and one
for Kafka's jars, whose Maven coordinates `make setup` left beside them. Needs no network.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError, VitrineError
from contracts.settings import ROOT

REQUIREMENTS = ROOT / "requirements"
JARS = ROOT / "var" / "kafka" / "libs"
OUT = ROOT / "var" / "sbom"
COORDINATES = ".coordinates"
"""What `mvn dependency:list` wrote, beside the jars."""
_COORDINATE = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):(?:compile|runtime)", re.MULTILINE)
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==(\S+)((?:\s*\\?\n\s+--hash=sha256:[0-9a-f]{64})*)", re.MULTILINE)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pinned:
    """One package of a lock file; `hashes` of all its files that may be installed."""

    name: str
    version: str
    hashes: frozenset[str]


def lock_files() -> list[Path]:
    """The lock files of the project, by name."""
    return sorted(REQUIREMENTS.glob("*.txt"))


def pinned(lock: Path) -> list[Pinned]:
    """Every package that a lock file pins.

    Raises:
        ConfigurationError: a package without a hash, which pip would refuse too.
    """
    found = [Pinned(m[1], m[2].rstrip("\\"), frozenset(_HASH.findall(m[3]))) for m in _PINNED.finditer(lock.read_text())]
    bare = [package.name for package in found if not package.hashes]
    if bare or not found:
        message = f"{lock}: {', '.join(bare) or 'nothing'} is pinned without a hash, expected name==version --hash=sha256:…"
        raise ConfigurationError(message)
    return found


def of_requirements(lock: Path, out: Path) -> Path:
    """Write the bill of one lock file by cyclonedx-py.

    Raises:
        ConfigurationError: cyclonedx-py refuses, with its words.
    """
    program = Path(sys.executable).with_name("cyclonedx-py")
    file = out / f"{lock.stem}.cdx.json"
    command = [str(program), "requirements", str(lock), "--output-reproducible", "--of", "JSON", "-o", str(file)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        message = f"cyclonedx-py could not read {lock}: {finished.stderr.strip()[-1000:]}"
        raise ConfigurationError(message)
    return file


def of_jars(folder: Path, out: Path) -> Path:
    """Write the bill of a folder of jars.

    Args:
        folder: the jars, and the file `.coordinates`.
        out: folder of the bills.

    Raises:
        ConfigurationError: no jars, no coordinates, or a jar that they do not name.
    """
    listed = folder / COORDINATES
    jars = sorted(folder.glob("*.jar"))
    if not jars or not listed.exists():
        message = f"{folder} holds no jars with their {COORDINATES}: run `make setup`"
        raise ConfigurationError(message)
    known = {
        f"{name}-{version}.jar": (group, name, version) for group, name, version in _COORDINATE.findall(listed.read_text())
    }
    unknown = [jar.name for jar in jars if jar.name not in known]
    if unknown:
        message = (
            f"{listed} does not name {', '.join(unknown)}, expected every jar beside it: delete {folder}, run `make setup`"
        )
        raise ConfigurationError(message)
    components = [_component(*known[jar.name], hashlib.sha256(jar.read_bytes()).hexdigest()) for jar in jars]
    file = out / "kafka-jars.cdx.json"
    file.write_text(json.dumps(_document("vitrine-embedded-kafka", components), indent=1) + "\n")
    return file


def _component(group: str, name: str, version: str, sha256: str) -> dict[str, Any]:
    purl = f"pkg:maven/{group}/{name}@{version}?type=jar"
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return {
        "type": "library", "bom-ref": purl, "group": group, "name": name, "version": version, "hashes": hashes, "purl": purl,
    }  # fmt: skip


def _document(name: str, components: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": name, "name": name}},
        "components": list(components),
    }


def hashes_of(bill: Path) -> dict[tuple[str, str], set[str]]:
    """SHA-256 of every component of a bill, its own and those of the files that it may be installed from."""
    found: dict[tuple[str, str], set[str]] = {}
    for component in json.loads(bill.read_text())["components"]:
        of_files = [one for place in component.get("externalReferences", []) for one in place.get("hashes", [])]
        held = found.setdefault((component["name"], component["version"]), set())
        held |= {one["content"] for one in (*component.get("hashes", []), *of_files) if one["alg"] == "SHA-256"}
    return found


def main() -> int:
    """Write all bills; 2 when something is missing."""
    try:
        OUT.mkdir(parents=True, exist_ok=True)
        files = [*(of_requirements(lock, OUT) for lock in lock_files()), of_jars(JARS, OUT)]
    except VitrineError as error:
        sys.stderr.write(f"vitrine: {error}\n")
        return 2
    for file in files:
        sys.stdout.write(f"{file.relative_to(ROOT)}: {len(hashes_of(file))} components\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
