"""Every query of every dashboard and rule, asked of the real Prometheus of a running stack, finds series."""

from __future__ import annotations

import subprocess
import sys
import time

import httpx
import pytest
import yaml

from contracts.settings import ROOT, Settings
from monitoring import dashboards
from stack.environment import child_environment

pytestmark = pytest.mark.stack
PATIENCE_SECONDS = 60.0


def gateway(settings: Settings) -> httpx.Client:
    return httpx.Client(base_url=f"http://{settings.gateway.host}:{settings.gateway.port}", timeout=10)


def have_something_to_show(settings: Settings) -> None:
    """Shoppers, a broken event, a sponsored item that is shown and clicked, and a page whose item is clicked."""
    command = [sys.executable, "-m", "cli", "shop", "--events", "150", "--rate", "50", "--count", "10", "--seed", "23"]
    shop = subprocess.run(command, cwd=ROOT, env=child_environment(settings), capture_output=True, check=False, timeout=60)
    assert shop.returncode == 0, shop.stderr
    campaign = {"campaign_id": "spring", "bid": 0.4, "budget": 80}
    lamp = {"item_id": "ad-lamp", "title": "Brass lamp", "categories": ["Home > Lamps"], "sponsored": campaign}
    now = int(time.time() * 1000)
    visit = {"visitor_id": "dash", "event_time": now, "items": [{"item_id": "ad-lamp"}]}
    with gateway(settings) as client:
        client.post("/v1/catalog", json=lamp).raise_for_status()
        deadline = time.monotonic() + 30
        while not client.get("/v1/items/ad-lamp/status").json().get("eligible"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for number, name in enumerate(["ad_impression", "ad_impression", "ad_click"]):
            client.post("/v1/events", json={**visit, "event_id": f"ad-{now}-{number}", "event_name": name}).raise_for_status()


def missing(settings: Settings, queries: list[str]) -> list[str]:
    """Queries that find no series within the patience; what was found once is not asked again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    address = f"http://{settings.monitoring.prometheus_address}/api/v1/query"
    left = list(queries)
    while left and time.monotonic() < deadline:
        found = []
        for query in left:
            answer = httpx.get(address, params={"query": query}, timeout=10).json()
            assert answer["status"] == "success", (query, answer)
            if answer["data"]["result"]:
                found.append(query)
        left = [query for query in left if query not in found]
        time.sleep(1 if left else 0)
    return left


def test_every_panel_and_recording_rule_finds_series_in_a_live_stack(demo_stack: Settings) -> None:
    have_something_to_show(demo_stack)
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"]
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    queries = list(dict.fromkeys([*dashboards.queries(), *recorded]))
    assert missing(demo_stack, queries) == []


def test_the_campaigns_spending_is_what_the_clicks_cost(demo_stack: Settings) -> None:
    assert (
        missing(demo_stack, ['vitrine_ad_spend_total{campaign="spring"} >= 0.4', 'vitrine_ad_budget{campaign="spring"} == 80'])
        == []
    )
