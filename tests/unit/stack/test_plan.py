import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from stack.broker import is_embedded
from stack.environment import overridden
from stack.plan import Plan, Planner, with_ports


def planned(tmp_path: Path, **stack: Any) -> Plan:
    async def plan() -> Plan:
        async with httpx.AsyncClient() as web:
            changes = {"stack": {"var": tmp_path, "triton": False, **stack}}
            return Planner(overridden(Settings(), changes), web).plan()

    return asyncio.run(plan())


def test_what_runs_and_in_which_order(tmp_path: Path) -> None:
    plan = planned(tmp_path, workers=2, catalog_workers=1, prometheus=False)
    assert [(service.name, service.stage) for service in plan.services] == [
        ("kafka", 0),
        ("worker-0", 2),
        ("worker-1", 2),
        ("catalog-0", 2),
        ("gateway", 3),
    ]


def test_every_worker_has_its_own_address_and_the_first_the_one_of_the_settings(tmp_path: Path) -> None:
    addresses = planned(tmp_path, workers=3, prometheus=False).addresses
    workers = [addresses[name] for name in ("worker-0", "worker-1", "worker-2", "catalog-0")]
    assert workers[0] == Settings().worker.metrics_address
    assert len(set(workers)) == 4


def test_what_listens_is_reserved_under_the_setting_that_can_move_it(tmp_path: Path) -> None:
    reserved = {setting for _, setting in planned(tmp_path, prometheus=False).reserved}
    assert reserved == {
        "VITRINE_KAFKA__BOOTSTRAP_SERVERS",
        "VITRINE_STACK__CONTROLLER_PORT",
        "VITRINE_WORKER__METRICS_ADDRESS",
        "VITRINE_GATEWAY__PORT",
    }


def test_port_0_becomes_a_free_port_everywhere() -> None:
    zero = "127.0.0.1:0"
    settings = with_ports(
        overridden(
            Settings(),
            {
                "kafka": {"bootstrap_servers": zero},
                "triton": {"grpc_address": zero, "metrics_address": zero},
                "worker": {"metrics_address": zero},
                "monitoring": {"prometheus_address": zero, "model_metrics_address": zero},
                "gateway": {"port": 0},
                "stack": {"controller_port": 0},
            },
        )
    )
    decided = [
        settings.kafka.bootstrap_servers,
        settings.triton.grpc_address,
        settings.triton.metrics_address,
        settings.worker.metrics_address,
        settings.monitoring.prometheus_address,
        settings.monitoring.model_metrics_address,
        f"127.0.0.1:{settings.gateway.port}",
        f"127.0.0.1:{settings.stack.controller_port}",
    ]
    assert not any(address.endswith(":0") for address in decided)
    assert len(set(decided)) == len(decided)


def test_only_one_loopback_address_means_the_embedded_broker() -> None:
    def embedded(servers: str, **stack: Any) -> bool:
        return is_embedded(overridden(Settings(), {"kafka": {"bootstrap_servers": servers}, "stack": stack}))

    assert embedded("127.0.0.1:9092")
    assert embedded("localhost:19092")
    assert not embedded("127.0.0.1:9092,127.0.0.1:9093")
    assert not embedded("kafka.example:9092")
    assert not embedded("127.0.0.1:9092", kafka=False)


def test_a_model_folder_without_a_manifest_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    async def plan() -> None:
        async with httpx.AsyncClient() as web:
            Planner(overridden(Settings(), {"model": {"path": tmp_path}, "stack": {"var": tmp_path}}), web).plan()

    with pytest.raises(ConfigurationError, match="VITRINE_MODEL__PATH"):
        asyncio.run(plan())
