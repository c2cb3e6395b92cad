"""What a visitor of the demo shop sees, in a real browser on real services."""

from __future__ import annotations

import io
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from contracts.settings import ROOT, Settings
from shop.catalog import products
from stack.addresses import free_port
from stack.environment import child_environment, overridden
from stack.process import Child

pytestmark = [pytest.mark.stack, pytest.mark.browser]
Visit = Callable[..., Page]
TYPE_OF = {product.item_id: product.kind.drawing for product in products()}
DEPARTMENT_OF = {product.item_id: product.kind.department for product in products()}


def shown(page: Page) -> list[str]:
    """Item ids of the grid."""
    found: list[str] = page.eval_on_selector_all("#grid .tile[data-key]", "tiles => tiles.map(tile => tile.dataset.key)")
    return found


def wait_for_page(page: Page, sequence: int = 1) -> list[str]:
    """Item ids, once a page of at least this sequence is drawn."""
    page.wait_for_function(
        "least => Number(document.querySelector('#main').dataset.sequence || 0) >= least"
        " && document.querySelectorAll('#grid .tile[data-key]').length > 0",
        arg=sequence,
    )
    return shown(page)


def go(page: Page, path: str) -> None:
    """Follow a link of the shop without loading the page anew."""
    page.evaluate("path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)


def look_at(page: Page, item_id: str, sequence: int) -> None:
    go(page, f"/shop/product/{item_id}")
    expect(page.locator(".product h1")).to_be_visible()
    wait_for_page(page, sequence)


def test_three_running_shoes_fill_the_home_page_with_what_belongs_to_them(visit: Visit) -> None:
    page = visit()
    before = Counter(DEPARTMENT_OF[item] for item in wait_for_page(page))
    shoes = [item for item, kind in TYPE_OF.items() if kind == "running_shoe"][:3]
    for number, shoe in enumerate(shoes):
        look_at(page, shoe, number + 2)
    go(page, "/")
    after = Counter(DEPARTMENT_OF[item] for item in wait_for_page(page, 5))
    assert after["Shoes"] + after["Sports"] > before["Shoes"] + before["Sports"]
    assert after["Shoes"] + after["Sports"] >= 4


def test_an_item_in_the_cart_leaves_the_grid_at_once(visit: Visit) -> None:
    page = visit()
    chosen = wait_for_page(page)[0]
    page.locator(f'#grid .tile[data-key="{chosen}"] a').click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#cart-count")).to_have_text("1")
    page.locator("a.cart").click()
    expect(page.locator(".lines li")).to_have_count(1)
    assert chosen not in wait_for_page(page, 4)
    page.get_by_role("link", name="Vitrine, home").click()
    assert chosen not in wait_for_page(page, 5)


def test_a_dismissed_item_does_not_come_back(visit: Visit) -> None:
    page = visit()
    chosen = wait_for_page(page)[1]
    page.locator(f'#grid .tile[data-key="{chosen}"]').hover()
    page.locator(f'#grid .tile[data-key="{chosen}"] button').click()
    assert chosen not in wait_for_page(page, 2)


def test_without_consent_the_page_does_not_learn(visit: Visit) -> None:
    page = visit()
    page.select_option("#persona", "-")
    expect(page.locator("#why-body")).to_contain_text("Personalisation is off")
    shoe = next(item for item, kind in TYPE_OF.items() if kind == "running_shoe")
    go(page, f"/shop/product/{shoe}")
    expect(page.locator(".product h1")).to_be_visible()
    go(page, "/")
    expect(page.locator("#why-body")).to_contain_text("nothing is kept")
    assert page.locator("#main").get_attribute("data-sequence") == "0"


def test_two_visitors_never_see_each_others_page(visit: Visit) -> None:
    one, other = visit(), visit()
    wait_for_page(one)
    quiet = wait_for_page(other)
    shoe = next(item for item, kind in TYPE_OF.items() if kind == "running_shoe")
    look_at(one, shoe, 2)
    one.get_by_role("button", name="Add to cart").click()
    go(one, "/")
    wait_for_page(one, 4)
    assert shown(other) == quiet
    assert other.locator("#main").get_attribute("data-sequence") == "1"


def test_a_new_product_becomes_recommendable_while_one_watches(visit: Visit, shop_url: str) -> None:
    page = visit()
    wait_for_page(page)
    picture = io.BytesIO()
    Image.new("RGB", (200, 200), (220, 40, 60)).save(picture, "PNG")
    page.get_by_role("button", name="New product").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files({"name": "p.png", "mimeType": "image/png", "buffer": picture.getvalue()})
    dialog.get_by_label("Title").fill("Testonia crimson running shoe")
    dialog.get_by_role("button", name="Publish").click()
    expect(page.locator("#product-status")).to_contain_text("Recommendable after", timeout=30_000)
    seconds = float(re.findall(r"after ([\d.]+) s", page.locator("#product-status").inner_text())[0])
    assert seconds < 30
    found = httpx.get(f"{shop_url}/v1/items", params={"query": "Testonia crimson"}).json()
    assert found["total"] == 1
    httpx.delete(f"{shop_url}/v1/items/{found['items'][0]['item_id']}").raise_for_status()


def test_search_finds_by_title_and_brings_recommendations(visit: Visit) -> None:
    page = visit()
    wait_for_page(page)
    page.get_by_role("searchbox").fill("running shoe")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#hits")).to_contain_text("products")
    kinds = page.eval_on_selector_all("#all .tile", "tiles => tiles.map(tile => tile.dataset.key)")
    assert {TYPE_OF[kind] for kind in kinds} == {"running_shoe"}
    wait_for_page(page, 2)


def test_the_shop_can_be_used_by_keyboard(visit: Visit) -> None:
    page = visit()
    wait_for_page(page)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.locator("#grid .tile a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".product h1")).to_be_visible()


_STILL = """() => Promise.all(
    document.getAnimations().filter(a => a.effect.getTiming().iterations !== Infinity).map(a => a.finished))"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("path", ["/", "/shop/product/running-shoe-001", "/shop/cart", "/ops"])
def test_axe_finds_nothing_serious(visit: Visit, axe: str, path: str, width: int, height: int, dark: bool) -> None:
    page = visit(path, width=width, height=height, dark=dark)
    if path == "/ops":
        expect(page.locator("#health table")).to_be_visible()
    else:
        wait_for_page(page)
        expect(page.locator("#why-body section")).to_have_count(4)
    page.evaluate(_STILL)  # a tile that is still fading in has no contrast yet
    page.evaluate(axe)
    result = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    serious = [
        f"{found['id']}: {found['help']}: {node['target']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
    assert serious == []
    overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_the_operations_page_shows_figures_charts_and_health(visit: Visit) -> None:
    page = visit("/ops")
    expect(page.locator("#figures dd").first).not_to_have_text("–", timeout=60_000)
    expect(page.locator("#health")).to_contain_text("healthy")
    expect(page.locator("#charts .card")).to_have_count(4, timeout=30_000)


def answers(address: str, patience_seconds: float = 30.0) -> None:
    """Wait until a gateway is healthy."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            if httpx.get(f"http://{address}/healthz", timeout=1).is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"no healthy gateway at {address}"
        time.sleep(0.05)


@pytest.fixture
def second_gateway(demo_stack: Settings, tmp_path: Path) -> Iterator[tuple[Child, str]]:
    """A gateway of this test's own beside the stack's, which may be killed and started again, and its address."""
    settings = overridden(demo_stack, {"gateway": {"port": free_port()}})
    address = f"{settings.gateway.host}:{settings.gateway.port}"
    command = [sys.executable, "-m", "gateway"]
    child = Child("second-gateway", command, child_environment(settings), tmp_path / "gateway.log", ROOT)
    child.start()
    answers(address)
    yield child, address
    child.stop(5)


_COLLECT = """visitor => {
    window.sequences = [];
    const stream = new EventSource(`/v1/pages/${visitor}/stream`);
    stream.addEventListener("page", message => window.sequences.push(JSON.parse(message.data).sequence));
}"""


def test_a_browser_whose_gateway_restarts_misses_no_page(
    visit: Visit, shop_url: str, second_gateway: tuple[Child, str]
) -> None:
    gateway, address = second_gateway
    page = visit("/")  # through the stack's own gateway first: the fixture watches for errors of the page
    visitor = f"restart-{time.monotonic_ns()}"

    def click(number: int) -> None:
        event = {
            "event_id": f"{visitor}-{number}",
            "event_name": "view_item",
            "event_time": int(time.time() * 1000),
            "visitor_id": visitor,
            "items": [{"item_id": f"running-shoe-{number:03d}"}],
        }
        httpx.post(f"{shop_url}/v1/events", json=event).raise_for_status()

    def until_made(count: int) -> None:
        deadline = time.monotonic() + 30
        while httpx.get(f"{shop_url}/v1/pages/{visitor}").json().get("sequence", 0) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def has_seen(count: int) -> None:
        page.wait_for_function("count => window.sequences.at(-1) >= count", arg=count, timeout=30_000)

    page.goto(f"http://{address}/")
    page.evaluate(_COLLECT, visitor)
    click(1)
    has_seen(1)
    gateway.kill()
    for number in (2, 3):
        click(number)
        until_made(number)  # two pages, not one for both
    gateway.start()
    answers(address)
    click(4)
    has_seen(4)
    assert page.evaluate("window.sequences") == [1, 2, 3, 4]


def test_a_click_while_the_gateway_is_away_is_answered_once_it_is_back(visit: Visit, second_gateway: tuple[Child, str]) -> None:
    gateway, address = second_gateway
    page = visit("/")
    page.goto(f"http://{address}/")
    seen = wait_for_page(page)
    gateway.kill()
    go(page, "/shop/product/" + next(item for item in TYPE_OF if item not in seen))
    time.sleep(0.5)
    assert not page.locator(".product h1").is_visible()
    gateway.start()
    answers(address)
    expect(page.locator(".product h1")).to_be_visible(timeout=15_000)
    # Not `wait_for_function` with a plain expression: from its second look on, it is an eval that the shop's policy forbids.
    expect(page.locator("#grid .tile[data-key]").first).to_be_visible(timeout=30_000)
    assert page.locator("h1").inner_text() != "The shop does not answer"
