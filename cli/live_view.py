"""Draws the live view of `vitrine run` with rich."""

from __future__ import annotations

from rich.bar import Bar
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.live_story import Shown, Story
from contracts.recommendations import Latency

_STAGE_WIDTH = 24


def draw(story: Story, addresses: dict[str, str], now: float) -> RenderableType:
    """The whole screen.

    Args:
        story: what to tell.
        addresses: of the stack.
        now: time on the story's clock.
    """
    top = Columns([_steps(story, now), _stages(story)], padding=(0, 2))
    return Group(_headline(story, addresses, now), top, _page(story), Text("Ctrl-C stops everything", style="dim"))


def _headline(story: Story, addresses: dict[str, str], now: float) -> RenderableType:
    totals = story.totals
    percentiles = totals.percentiles()
    text = Text()
    text.append("Vitrine ", style="bold")
    text.append(f"{totals.rate(now):.0f} events/s  {totals.events} events  {totals.pages} pages")
    if percentiles is not None:
        text.append(f"  event to page {percentiles[0]:.1f} ms (p50)  {percentiles[1]:.1f} ms (p95)")
    if totals.degraded:
        text.append(f"  {totals.degraded} fallback pages", style="yellow")
    shown = {name: addresses[name] for name in ("gateway", "broker", "prometheus") if name in addresses}
    places = Text("  ".join(f"{name} {address}" for name, address in shown.items()), style="dim")
    return Group(text, places)


def _steps(story: Story, now: float) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", width=5)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=38)
    for step in story.steps:
        table.add_row(f"-{now - step.at:.0f} s", step.words, step.what)
    if not story.steps:
        table.add_row("", "", "waiting for the first shopper")
    return Panel(table, title=f"shopper {story.visitor or ''}", title_align="left", width=68)


def _stages(story: Story) -> RenderableType:
    if story.page is None:
        return Panel("no page yet", title="from event to page", title_align="left", width=46)
    latency = story.page.latency_ms
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", width=7, no_wrap=True)
    table.add_column(width=_STAGE_WIDTH)
    whole = max(latency.event_to_emit, 0.001)
    for name, milliseconds in _parts(latency):
        table.add_row(name, f"{milliseconds:.2f}", Bar(whole, 0, min(milliseconds, whole), width=_STAGE_WIDTH, color="magenta"))
    table.add_row(Text("event to page", style="bold"), Text(f"{latency.event_to_emit:.2f}", style="bold"), "milliseconds")
    return Panel(table, title="from event to page", title_align="left", width=52)


def _parts(latency: Latency) -> tuple[tuple[str, float], ...]:
    return (
        ("queue", latency.queue),
        ("fold", latency.fold),
        ("rpc", latency.rpc),
        ("  session step", latency.session_update),
        ("  retrieval", latency.retrieval),
        ("  ranking", latency.inference),
        ("rules", latency.rules),
    )


def _page(story: Story) -> RenderableType:
    table = Table(box=None, pad_edge=False, expand=False, header_style="dim")
    for header in ("", "product", "department", "price", "why", "text · picture · behaviour"):
        table.add_column(header, no_wrap=True, overflow="ellipsis", max_width=44)
    for place, item in enumerate(story.shown):
        price = f"{item.price:.2f}" if item.price is not None else ""
        style = "bold green" if item.before is None else None
        why = item.source.replace("_", " ")
        table.add_row(_move(item, place), Text(item.title, style=style or ""), item.department, price, why, _shares(item))
    if story.page is None:
        return Panel("the page appears after the first click", title="page", title_align="left", width=122)
    page = story.page
    title = f"page {page.sequence}: {page.page_type}, model {page.model.version}, index {page.index_version}"
    return Panel(table, title=title, title_align="left", width=122, border_style="yellow" if page.degraded else "none")


def _move(item: Shown, place: int) -> Text:
    if item.before is None:
        return Text("new", style="bold green")
    if item.before > place:
        return Text(f"▲{item.before - place}", style="green")
    if item.before < place:
        return Text(f"▼{place - item.before}", style="dim")
    return Text(" =", style="dim")


def _shares(item: Shown) -> Text:
    text = Text()
    for name, style in (("text", "blue"), ("image", "magenta"), ("behaviour", "cyan")):
        text.append("█" * round(max(item.shares.get(name, 0.0), 0.0) * 20), style=style)
    return text
