"""What kind of page an event happened on, for formats that do not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from contracts.events import Page, PageType
from gateway.adapters.message import category_path

_BY_EVENT: dict[str, PageType] = {
    "view_item": "product",
    "view_item_list": "category",
    "search": "search",
    "view_cart": "cart",
    "remove_from_cart": "cart",
    "begin_checkout": "checkout",
    "add_shipping_info": "checkout",
    "add_payment_info": "checkout",
    "purchase": "checkout",
}


def page_of(name: str, uri: str | None, referrer: str | None, categories: Sequence[Any] = ()) -> Page | None:
    """The page of an event by its name; a page view of an address with a path is content, of a bare one home.

    Args:
        name: our event name.
        uri: address of the page.
        referrer: address of the page before.
        categories: category paths, in any notation.
    """
    paths = tuple(path for path in (category_path([str(category)]) for category in categories if category) if path)
    page_type: PageType = _BY_EVENT.get(name, "home")
    if name == "page_view" and uri is not None and _path_of(uri) not in ("", "/"):
        page_type = "content"
    if uri is None and referrer is None and not paths and name not in _BY_EVENT:
        return None
    return Page(page_type, _shortened(uri), _shortened(referrer), paths)


def _path_of(uri: str) -> str:
    """The path of an address; empty for what is no address, such as brackets that do not match."""
    try:
        return urlsplit(uri).path
    except ValueError:
        return ""


def _shortened(uri: str | None) -> str | None:
    """An address of at most 2,048 characters: tracking parameters make them longer than the contract allows."""
    if uri is None or len(uri) <= 2048:
        return uri
    return uri.partition("?")[0][:2048]
