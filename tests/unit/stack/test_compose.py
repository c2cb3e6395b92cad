"""compose.yaml against the Compose specification, against a security linter, and against what the code reads."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from contracts.settings import ROOT, Settings, resolve
from contracts.tensors import MODEL_NAMES

FILE = ROOT / "compose.yaml"
# Compose fills in ${NAME:-default} and ${NAME:?why it is needed} before it reads the document.
DOCUMENT: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:([-?])([^}]*)\}", r"\2", FILE.read_text()))
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
PROCESSES = ["worker", "catalog", "gateway", "topics", "triton-cpu", "triton-gpu"]
SECRETS_AT = "/run/secrets/"


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of each volume; a named volume has no slash in its source."""
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, _, target = volume.partition(":")
            yield source, target
        else:
            yield volume["source"], volume["target"]


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """What a process of this service would read, its secrets laid out in a folder."""
    for variable, value in SERVICES[name]["environment"].items():
        text = str(value)
        if text.startswith(SECRETS_AT):
            file = tmp_path / text.removeprefix(SECRETS_AT)
            file.write_text("{}")
            text = str(file)
        monkeypatch.setenv(variable, text)
    return Settings()


def test_the_file_follows_the_compose_specification() -> None:
    merged = {key: value for key, value in DOCUMENT.items() if not key.startswith("x-")}
    specification = compose_spec.PyCompose.from_json(json.dumps(merged)).to_spec()
    assert set(specification.services or {}) == set(SERVICES)


def test_a_wrong_field_would_be_found() -> None:
    broken = {"services": {"kafka": {"image": "x", "prots": ["1:1"]}}}
    with pytest.raises(ValueError, match="prots"):
        compose_spec.PyCompose.from_json(json.dumps(broken))


def test_the_security_linter_finds_nothing_of_weight() -> None:
    command = [str(Path(sys.executable).with_name("compose-lint")), "check", "--fail-on", "high", str(FILE)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root")
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)
    assert "healthcheck" in service or name == "topics"
    assert not any(re.search(r"PASSWORD$|SECRET$", variable) for variable in service.get("environment", {}))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_published_ports_are_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_networks_volumes_secrets_and_dependencies_that_are_named_exist() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(DOCUMENT["networks"])
        assert set(service.get("secrets", [])) <= set(DOCUMENT["secrets"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for source, _ in mounts(service):
            assert "/" in source or source in DOCUMENT["volumes"]


def test_files_that_are_mounted_and_commands_that_are_run_exist() -> None:
    for service in SERVICES.values():
        for source, _ in mounts(service):
            if source.startswith("./") and not source.startswith("./var/"):  # var is made by `make setup`
                assert (ROOT / source).exists(), source
    for name in OURS:
        assert (ROOT / SERVICES[name]["build"].get("args", {}).get("STUB_REQUIREMENTS", "requirements/stub.txt")).exists()
    modules = {SERVICES[name]["command"][2] for name in ("worker", "catalog", "gateway", "topics")}
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert (path / "__main__.py").exists() or path.with_suffix(".py").exists(), module


@pytest.mark.parametrize("name", PROCESSES)
def test_every_variable_is_a_setting_that_the_code_reads(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {
        f"VITRINE_{group}__{field}".upper()
        for group, part in Settings.model_fields.items()
        for field in getattr(part.annotation, "model_fields", {})
    } | {"VITRINE_MODEL_DIR"}  # triton_models.artefact
    assert set(SERVICES[name]["environment"]) <= known
    settings = settings_of(name, monkeypatch, tmp_path)
    host, port = settings.kafka.bootstrap_servers.split(":")
    assert f"://{host}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert host in SERVICES


def test_the_workers_reach_triton_where_it_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = settings_of("worker", monkeypatch, tmp_path)
    host, port = settings.triton.grpc_address.split(":")
    for name in ("triton-cpu", "triton-gpu"):
        triton = SERVICES[name]
        assert host in triton["networks"]["inference"]["aliases"]
        assert f"--grpc-port={port}" in triton["command"]
        assert {f"--load-model={model}" for model in MODEL_NAMES} <= set(triton["command"])
        assert "--allow-http=false" in triton["command"]
    assert {name for name, service in SERVICES.items() if "inference" in service["networks"]} == {
        "worker",
        "catalog",
        "triton-cpu",
        "triton-gpu",
    }
    assert DOCUMENT["networks"]["inference"]["internal"] is True


def test_triton_is_built_on_nvidias_container_and_gets_a_gpu_in_its_profile() -> None:
    base = re.search(r"TRITON_IMAGE=nvcr\.io/nvidia/tritonserver:(\d+)\.\d+-py3", (ROOT / "Dockerfile").read_text())
    assert base is not None
    assert int(base[1]) >= 25  # older ones have holes that anybody can use who reaches the server
    device = SERVICES["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["capabilities"] == ["gpu"]
    assert SERVICES["triton-cpu"]["profiles"] == ["cpu"]
    assert SERVICES["triton-gpu"]["profiles"] == ["gpu"]


def test_the_role_and_the_addresses_of_the_processes_are_what_is_probed_and_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, role in (("worker", "events"), ("catalog", "catalog")):
        settings = settings_of(name, monkeypatch, tmp_path)
        assert settings.worker.role == role
        assert (
            f"http://127.0.0.1:{settings.worker.metrics_address.split(':')[1]}/healthz" in SERVICES[name]["healthcheck"]["test"]
        )
        assert str(settings.worker.data_dir) in [target for _, target in mounts(SERVICES[name])]
    gateway = settings_of("gateway", monkeypatch, tmp_path).gateway
    assert SERVICES["gateway"]["ports"] == [f"127.0.0.1:{gateway.port}:{gateway.port}"]
    assert f"http://127.0.0.1:{gateway.port}/healthz" in SERVICES["gateway"]["healthcheck"]["test"]


def test_prometheus_scrapes_every_process_at_the_port_that_it_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {
        file.stem: json.loads(file.read_text())[0]["targets"][0] for file in (ROOT / "deploy/compose/targets").glob("*.json")
    }
    assert set(found) == {"worker", "catalog", "model", "triton", "gateway", "alertmanager"}
    for job in ("worker", "catalog"):
        port = settings_of(job, monkeypatch, tmp_path).worker.metrics_address.split(":")[1]
        assert found[job] == f"{job}:{port}"
    triton = SERVICES["triton-cpu"]
    host = triton["networks"]["observe"]["aliases"][0]
    assert (
        found["model"]
        == f"{host}:{settings_of('triton-cpu', monkeypatch, tmp_path).monitoring.model_metrics_address.split(':')[1]}"
    )
    assert f"--metrics-port={found['triton'].split(':')[1]}" in triton["command"]
    assert found["gateway"] == f"gateway:{settings_of('gateway', monkeypatch, tmp_path).gateway.port}"


@pytest.mark.parametrize("name", PROCESSES)
def test_secrets_are_mounted_where_a_setting_looks_for_them(name: str) -> None:
    wanted = {str(v).removeprefix(SECRETS_AT) for v in SERVICES[name]["environment"].values() if str(v).startswith(SECRETS_AT)}
    assert wanted == set(SERVICES[name].get("secrets", []))


def test_the_model_that_triton_serves_is_the_one_that_setup_exports() -> None:
    folder = SERVICES["triton-cpu"]["environment"]["VITRINE_MODEL_DIR"]
    source, target = next(mounts(SERVICES["triton-cpu"]))
    assert folder.removeprefix(target).strip("/") == Settings().model.path.name
    assert (ROOT / source).resolve() == resolve(Path("var/models")).resolve()


def test_grafana_finds_its_dashboards_and_prometheus_where_compose_puts_them() -> None:
    grafana = {target: source for source, target in mounts(SERVICES["grafana"])}
    provisioning = ROOT / grafana["/etc/grafana/provisioning"]
    provider = yaml.safe_load(next((provisioning / "dashboards").glob("*.yml")).read_text())["providers"][0]
    assert provider["options"]["path"] in grafana
    source = yaml.safe_load(next((provisioning / "datasources").glob("*.yml")).read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


def test_prometheus_finds_its_rules_and_alertmanager_where_compose_puts_them() -> None:
    targets = {target for _, target in mounts(SERVICES["prometheus"])}
    configuration = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())
    assert {f"/etc/prometheus/{file}" for file in configuration["rule_files"]} <= targets
    alertmanager = json.loads((ROOT / "deploy/compose/targets/alertmanager.json").read_text())[0]["targets"]
    assert alertmanager == ["alertmanager:9093"]
