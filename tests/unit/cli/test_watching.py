"""What `vitrine watch` prints."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from rich.console import Console

from cli.watching import Watching
from consumers.pages import Received
from contracts.recommendations import Latency, Model, PageRecommendation, Placement, RecommendedItem, Source


def received(visitor: str, *, degraded: bool = False) -> Received:
    item = RecommendedItem("lamp[red]", 0, 0.5, ("Looks like",), "ann_fused")
    page = PageRecommendation(
        recommendation_id="r", attribution_token="a", tenant_id="t", visitor_id=visitor, user_id=None, session_id="s",
        page_view_id=None, page_type="product", trigger_event_id="e", trigger_event_time=0, generated_time=1_000,
        expire_time=0, sequence=41, source=Source(0, 0), index_version=0, placements=(Placement("p", "P", "grid", (item,)),),
        model=Model("m", "1"), experiment_ids=(), missing_ids=(), degraded=degraded,
        fallback_reason="triton_down" if degraded else None, latency_ms=Latency(0, 0, 0, 0, 0, 0, 0, 7.0),
    )  # fmt: skip
    return Received(page, 1_003, ())


def test_each_page_is_a_row_with_its_items_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    watching = Watching(as_json=False, console=Console(file=out, width=160))
    watching.show([received("v-1"), received("v-2", degraded=True), received("v-3")], count=2)
    watching.finish(3)
    _, first, second = out.getvalue().splitlines()
    assert all(word in first for word in ("v-1", "41", "product", "7", "lamp[red] looks like"))
    assert "triton_down" in second
    assert "v-3" not in out.getvalue()
    assert capsys.readouterr().err == "2 pages; event to here, ms: p50 10.0, p95 10.0, p99 10.0, max 10.0; 3 repeats dropped\n"


def test_json_is_one_page_a_line_and_nothing_else_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    watching = Watching(as_json=True)
    watching.show([received("v-1"), received("v-2")], count=None)
    watching.finish(0)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["visitor_id"] for line in lines] == ["v-1", "v-2"]
    assert msgspec.json.decode(lines[0], type=PageRecommendation) == received("v-1").page
