"""The Kubernetes manifests: valid by their schemas, complete, hardened, and with settings that the code reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from contracts.settings import ROOT, Settings
from contracts.topics import EVENTS

BASE = ROOT / "deploy" / "kubernetes" / "base"
OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
FOREIGN = {"ScaledObject", "Kustomization"}  # not Kubernetes' own kinds: no schema in the package


def documents(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return [
        (file.name, document)
        for file in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document is not None
    ]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, document in documents(BASE):
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("name", "document"),
    [pair for pair in documents(BASE) if pair[1]["kind"] not in FOREIGN],
    ids=lambda value: value if isinstance(value, str) else f"{value['kind']}-{value.get('metadata', {}).get('name')}",
)
def test_every_manifest_is_valid_by_its_schema(name: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.30", strict=True)


def test_the_kustomization_lists_every_file_once() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(file.name for file in BASE.glob("*.yaml") if file.name != "kustomization.yaml")


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_overlays_point_to_what_exists(overlay: str) -> None:
    folder = OVERLAYS / overlay
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for resource in kustomization["resources"]:
        assert (folder / resource / "kustomization.yaml").exists()
    names = {(d["kind"], d["metadata"]["name"]) for _, d in documents(BASE) if "metadata" in d}
    for patch in kustomization.get("patches", []):
        document = yaml.safe_load((folder / patch["path"]).read_text())
        assert (document["kind"], document["metadata"]["name"]) in names


def test_settings_are_read_by_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VITRINE_")]:
        monkeypatch.delenv(name)
    values: dict[str, str] = next(d["data"] for _, d in documents(BASE) if d["kind"] == "ConfigMap")
    for name, value in values.items():
        if "/run/secrets" not in value:
            monkeypatch.setenv(name, value)
        group, _, field = name.removeprefix("VITRINE_").lower().partition("__")
        assert hasattr(getattr(Settings(), group), field), name
    settings = Settings()
    assert (settings.kafka.replication_factor, settings.worker.metrics_address) == (3, "0.0.0.0:9101")


def test_containers_are_hardened_limited_and_probed() -> None:
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], name
            assert not context["allowPrivilegeEscalation"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]) == {"requests", "limits"}, name
            if pod.get("restartPolicy") != "OnFailure":
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name


def test_triton_is_judged_by_a_known_answer_and_reached_by_workers_only() -> None:
    triton = dict(pods())["triton"]["containers"][0]
    assert "stack.probe" in triton["readinessProbe"]["exec"]["command"]
    policies = {d["metadata"]["name"]: d["spec"] for _, d in documents(BASE) if d["kind"] == "NetworkPolicy"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    grpc = [rule for rule in policies["triton"]["ingress"] if {"port": 8001} in rule["ports"]]
    ((peer,),) = [rule["from"] for rule in grpc]
    assert peer["podSelector"]["matchExpressions"][0]["values"] == ["worker", "catalog"]


def test_workers_scale_on_the_lag_of_their_group_within_the_partitions() -> None:
    (scaled,) = [d["spec"] for _, d in documents(BASE) if d["kind"] == "ScaledObject"]
    settings = {d["metadata"]["name"]: d for _, d in documents(BASE) if d["kind"] == "ConfigMap"}["vitrine"]["data"]
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["consumerGroup"] == Settings().worker.group
    assert trigger["metadata"]["topic"] == EVENTS
    assert trigger["metadata"]["bootstrapServers"] == settings["VITRINE_KAFKA__BOOTSTRAP_SERVERS"]
    assert scaled["maxReplicaCount"] <= int(settings["VITRINE_KAFKA__PARTITIONS"])
    budgets = {d["metadata"]["name"] for _, d in documents(BASE) if d["kind"] == "PodDisruptionBudget"}
    assert budgets == {"triton", "worker", "catalog", "gateway"}
