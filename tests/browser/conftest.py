"""Debian's Chromium, driven by Playwright, on a whole stack with the demo shop."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from contracts.settings import Settings

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium; ended with its module, for Playwright's loop runs in this thread as long as it is open."""
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: install Debian's package chromium")
        pytest.skip(f"{CHROMIUM} is missing: install Debian's package chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def shop_url(demo_stack: Settings) -> str:
    """Where the shop is."""
    return f"http://{demo_stack.gateway.host}:{demo_stack.gateway.port}"


@pytest.fixture
def visit(browser: Browser, shop_url: str) -> Iterator[Callable[..., Page]]:
    """Opens the shop as a new visitor; fails the test if the page reports an error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_shop(path: str = "/", *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(shop_url + path)
        return page

    yield open_shop
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core, installed by npm from the lock file beside this one."""
    script = _HERE / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=_HERE, check=True, capture_output=True)
    return script.read_text()
