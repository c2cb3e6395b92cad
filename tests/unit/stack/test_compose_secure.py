"""deploy/compose/secure.yaml laid over compose.yaml: the merged document, its secrets, and each part signing in as itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from contracts.settings import ROOT, Settings
from stack import container_secrets
from stack.principals import Role
from stack.security import Keys

OVERRIDE = ROOT / "deploy" / "compose" / "secure.yaml"
SIGNED_IN = {"topics": Role.ADMIN, "worker": Role.WORKER, "catalog": Role.CATALOG, "gateway": Role.GATEWAY}
SIGNED_IN |= {"triton-cpu": Role.RANKER, "triton-gpu": Role.RANKER}
SECRETS_AT = "/run/secrets/"


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:([-?])([^}]*)\}", r"\2", file.read_text()))
    return {key: value for key, value in document.items() if not key.startswith("x-")}


def merged(base: Any, over: Any) -> Any:
    """As Compose merges: maps by key, lists of secrets and mounts by adding, everything else replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: merged(base.get(key), over.get(key)) for key in {**base, **over}}
    if over is None:
        return deepcopy(base)
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *(one for one in over if one not in base)]
    return deepcopy(over)


def document() -> dict[str, Any]:
    base, over = read(ROOT / "compose.yaml"), read(OVERRIDE)
    both: dict[str, Any] = merged(base, over)
    for name, service in over["services"].items():  # commands and tests are replaced, not added to
        for field in ("command", "healthcheck"):
            if field in service:
                both["services"][name][field] = (
                    {**base["services"].get(name, {}).get(field, {}), **service[field]}
                    if isinstance(service[field], dict)
                    else service[field]
                )
    return both


DOCUMENT = document()
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]


def test_the_merged_document_follows_the_compose_specification() -> None:
    assert set(compose_spec.PyCompose.from_json(json.dumps(DOCUMENT)).to_spec().services or {}) == set(SERVICES)


def test_the_security_linter_finds_nothing_of_weight(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(DOCUMENT))
    command = [str(Path(sys.executable).with_name("compose-lint")), "check", "--fail-on", "high", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("name", "role"), SIGNED_IN.items())
def test_each_part_signs_in_as_its_role_and_is_given_no_other_password(
    name: str, role: Role, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = SERVICES[name]
    for variable, value in service["environment"].items():
        text = str(value)
        if text.startswith(SECRETS_AT):
            (tmp_path / text.removeprefix(SECRETS_AT)).write_text("{}")
            text = str(tmp_path / text.removeprefix(SECRETS_AT))
        monkeypatch.setenv(variable, text)
    kafka = Settings().kafka
    assert (kafka.security_protocol, kafka.sasl_username) == ("SASL_SSL", str(role))
    assert kafka.sasl_password_file == tmp_path / f"kafka_{role}"
    passwords = {secret for secret in service["secrets"] if secret.startswith("kafka_") and secret != "kafka_ca"}
    assert passwords == {f"kafka_{role}"}


def test_no_listener_of_the_broker_is_open_any_more() -> None:
    assert SERVICES["kafka"]["command"][-1] == f"{SECRETS_AT}kafka_server"
    assert SERVICES["kafka"]["depends_on"]["kafka-format"]["condition"] == "service_completed_successfully"


def test_every_file_that_a_secret_names_is_written_and_every_path_in_them_is_mounted(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    written = {file.name for file in container_secrets.write(folder)}
    named = {name: Path(one["file"]) for name, one in DOCUMENT["secrets"].items() if name.startswith("kafka_")}
    assert {file.parent for file in named.values()} == {Path("var/secrets/kafka")}
    assert {file.name for file in named.values()} <= written
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(DOCUMENT["secrets"])
    for reader, file in (("kafka", "server.properties"), ("kafka", "admin.properties"), ("kafka-format", "format.arguments")):
        paths = set(re.findall(r"/run/secrets/(\w+)", (folder / file).read_text()))
        assert paths
        assert paths <= set(SERVICES[reader]["secrets"])
    assert SERVICES["kafka"]["environment"]["CLUSTER_ID"] == container_secrets.CLUSTER_ID


def test_writing_again_keeps_the_passwords(tmp_path: Path) -> None:
    container_secrets.write(tmp_path)
    before = {role: Keys(tmp_path).password(role) for role in Role}
    container_secrets.write(tmp_path)
    assert {role: Keys(tmp_path).password(role) for role in Role} == before
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/kubernetes/base/triton.yaml"])
def test_the_key_of_tritons_restricted_protocols_is_one_that_no_call_can_bring(file: str) -> None:
    name = re.search(r"--grpc-restricted-protocol=[\w,-]+:(\w+)=", (ROOT / file).read_text())
    assert name is not None
    assert name[1] == name[1].upper()
