"""Known vulnerabilities of everything that is pinned, by pip-audit on the lock files.

`python -m stack.audit` ends with 0 when every package was looked up and none has a known vulnerability, 1 when one has, 3 when
the advisory service could not be asked about all of them: silence of the service is no clean bill. `--if-reachable` makes 3 a
warning, for builds without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from stack.bill import lock_files

SERVICE = "https://api.osv.dev/v1/query"
_PROBE_SECONDS = 5.0
CLEAN, FOUND, NOT_ASKED = 0, 1, 3


@dataclass
class Findings:
    """What the audit found.

    Attributes:
        audited: packages that were looked up.
        vulnerable: a line for each known vulnerability.
        unknown: packages that the service could not be asked about, and why.
    """

    audited: int = 0
    vulnerable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """A known vulnerability counts more than one that may be unknown."""
        if self.vulnerable:
            return FOUND
        return NOT_ASKED if self.unknown or not self.audited else CLEAN


def read_report(findings: Findings, lock: str, report: dict[str, Any]) -> None:
    """Add what pip-audit's JSON says of one lock file; a package that it skipped was not audited."""
    for package in report["dependencies"]:
        if "skip_reason" in package:
            findings.unknown.append(f"{lock}: {package['name']}: {package['skip_reason']}")
            continue
        findings.audited += 1
        for known in package["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            findings.vulnerable.append(f"{lock}: {package['name']} {package['version']}: {known['id']}, fixed in {fixed}")


def is_reachable(url: str) -> bool:
    """Whether the advisory service answers at all."""
    try:
        httpx.post(url, json={"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "1.0"}, timeout=_PROBE_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def audit(locks: list[Path]) -> Findings:
    """Ask about every package of the lock files."""
    findings = Findings()
    program = str(Path(sys.executable).with_name("pip-audit"))
    for lock in locks:
        options = [
            "--disable-pip",
            "--no-deps",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "-s",
            "osv",
            "--osv-url",
            SERVICE,
        ]
        finished = subprocess.run([program, "-r", str(lock), *options], capture_output=True, text=True, check=False)
        try:
            read_report(findings, lock.name, json.loads(finished.stdout))
        except ValueError:
            last = finished.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
            findings.unknown.append(f"{lock.name}: {last[0]}")
    return findings


def main(arguments: list[str]) -> int:
    """Audit all lock files and tell; the exit status is the module's."""
    tolerant = arguments == ["--if-reachable"]
    if arguments and not tolerant:
        sys.stderr.write("usage: python -m stack.audit [--if-reachable]\n")
        return 2
    if not is_reachable(SERVICE):
        host = urlsplit(SERVICE).hostname
        sys.stderr.write(f"not audited: the advisory service {host} cannot be reached from here; nothing is known either way\n")
        return CLEAN if tolerant else NOT_ASKED
    findings = audit(lock_files())
    for line in findings.vulnerable:
        sys.stdout.write(f"vulnerable: {line}\n")
    for line in findings.unknown:
        sys.stderr.write(f"not audited: {line}\n")
    sys.stdout.write(
        f"{findings.audited} packages audited, {len(findings.vulnerable)} known vulnerabilities, "
        f"{len(findings.unknown)} not audited\n"
    )
    return CLEAN if tolerant and findings.exit_status == NOT_ASKED else findings.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
