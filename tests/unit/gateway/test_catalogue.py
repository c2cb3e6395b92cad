"""The gateway's view of the catalogue: eligibility, search, addresses of pictures."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from contracts.catalog import CatalogItem, Image, ItemEmbedding, Rating, Sponsored, encode
from gateway.catalogue import Catalogue
from gateway.follower import Followed
from gateway.metrics import GatewayMetrics


@pytest.fixture
def catalogue() -> Catalogue:
    pictures = {"shop/images": "/images", "shop/uploads": "/uploads"}
    return Catalogue(GatewayMetrics.create(CollectorRegistry()), pictures)


def publish(catalogue: Catalogue, item: CatalogItem, offset: int = 0, time: int = 1000) -> None:
    catalogue.take_item(Followed(f"default|{item.item_id}".encode(), encode(item), 0, offset, time, ()))


def embed(catalogue: Catalogue, item: CatalogItem, offset: int = 0, time: int = 3500) -> None:
    embedding = ItemEmbedding(
        item.item_id, "default", 1, 2, (1.0, 0.0), created_time=time, source_partition=0, source_offset=offset, item=item
    )
    catalogue.take_embedding(Followed(f"default|{item.item_id}".encode(), encode(embedding), 0, 0, time, ()))


SHOE = CatalogItem("s", "Red Running Shoe", categories=("Shoes > Running",), rating=Rating(4.0))
BOOT = CatalogItem("b", "Red boot", categories=("Shoes > Boots",), rating=Rating(4.5))
HAT = CatalogItem("h", "Straw hat", categories=("Hats",))


def test_the_seconds_count_until_the_embedding_is_there_and_then_stand_still(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE)
    entry = catalogue.entry("default", "s")
    assert entry is not None
    assert entry.status(2000) | {"eligible": False, "seconds": 1.0} == entry.status(2000)
    embed(catalogue, SHOE)
    assert entry.status(99_000) | {"eligible": True, "seconds": 2.5} == entry.status(99_000)


def test_an_embedding_of_an_older_record_does_not_make_the_new_one_eligible(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE, offset=4)
    embed(catalogue, SHOE, offset=3)
    entry = catalogue.entry("default", "s")
    assert entry is not None
    assert entry.status(5000)["eligible"] is False


def test_a_deleted_item_is_gone(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE)
    catalogue.take_item(Followed(b"default|s", None, 0, 1, 0, ()))
    assert catalogue.entry("default", "s") is None
    assert catalogue.search("default", "red", "", 9) == (0, [])


def test_search_wants_every_word_and_completes_the_last(catalogue: Catalogue) -> None:
    for item in (SHOE, BOOT, HAT):
        publish(catalogue, item)
    assert [item.item_id for item in catalogue.search("default", "red", "", 9)[1]] == ["b", "s"]
    assert [item.item_id for item in catalogue.search("default", "RED sho", "", 9)[1]] == ["s"]
    assert catalogue.search("default", "re shoe", "", 9)[0] == 0
    assert catalogue.search("default", "", "Shoes", 1) == (2, [BOOT])
    assert catalogue.search("other", "red", "", 9)[0] == 0


def test_a_changed_title_is_found_by_its_new_words_only(catalogue: Catalogue) -> None:
    publish(catalogue, HAT)
    publish(catalogue, CatalogItem("h", "Felt cap", categories=("Hats",)), offset=1)
    assert catalogue.search("default", "straw", "", 9)[0] == 0
    assert catalogue.search("default", "felt", "", 9)[0] == 1


def test_pictures_get_addresses_that_a_browser_can_load(catalogue: Catalogue) -> None:
    item = CatalogItem("p", "P", images=(Image("file:///srv/var/shop/images/a b.png"), Image("file:///etc/passwd")))
    shown = catalogue.shown(item)
    assert shown["image_url"] == "/images/a%20b.png"
    assert shown["images"] == [{"uri": "/images/a%20b.png"}]
    assert catalogue.picture_url("file:var/shop/uploads/x.jpg") == "/uploads/x.jpg"
    assert catalogue.picture_url("https://cdn.example/x.jpg") == "https://cdn.example/x.jpg"
    assert catalogue.picture_url("javascript:alert(1)") is None


def test_a_browser_never_sees_what_the_shop_paid_or_bids(catalogue: Catalogue) -> None:
    shown = catalogue.shown(CatalogItem("p", "P", price=9.0, cost=3.5, sponsored=Sponsored("c", bid=0.4)))
    assert shown["price"] == 9.0
    assert not {"cost", "sponsored"} & set(shown)


def test_categories_are_paths_by_whole_steps(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE)
    publish(catalogue, BOOT)
    assert catalogue.search("default", "", "Shoes", 9)[0] == 2
    assert catalogue.search("default", "", "Shoes > Run", 9)[0] == 0
    assert catalogue.categories("default") == {"Shoes": 2, "Shoes > Boots": 1, "Shoes > Running": 1}


def test_an_embedding_that_comes_after_its_item_was_deleted_leaves_no_ghost(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE)
    catalogue.take_item(Followed(b"default|s", None, 0, 1, 0, ()))
    embed(catalogue, SHOE)
    catalogue.take_embedding(Followed(b"default|s", None, 0, 1, 0, ()))
    assert catalogue.search("default", "", "", 9)[0] == 0
    assert catalogue.entry("default", "s") is None


def test_kept_answers_follow_every_change(catalogue: Catalogue) -> None:
    publish(catalogue, SHOE)
    assert catalogue.search("default", "shoe", "", 9)[0] == 1
    publish(catalogue, CatalogItem("t", "Tennis shoe"))
    assert catalogue.search("default", "shoe", "", 9)[0] == 2
    catalogue.take_item(Followed(b"default|t", None, 0, 2, 0, ()))
    assert catalogue.search("default", "shoe", "", 9)[0] == 1


@pytest.mark.parametrize("key", [b"\xff|x", b"nothing", None, b"default|another"])
@pytest.mark.parametrize("value", [encode(SHOE), None, b"{"])
def test_a_record_whose_key_is_not_its_items_changes_nothing(
    catalogue: Catalogue, key: bytes | None, value: bytes | None
) -> None:
    publish(catalogue, SHOE)
    catalogue.take_item(Followed(key, value, 0, 1, 0, ()))
    catalogue.take_embedding(Followed(key, value, 0, 1, 0, ()))
    assert catalogue.search("default", "red", "", 9) == (1, [SHOE])
    entry = catalogue.entry("default", "s")
    assert entry is not None
    assert entry.published_offset == 0


def test_an_address_that_is_none_costs_its_item_only_the_picture(catalogue: Catalogue) -> None:
    shown = catalogue.shown(CatalogItem("s", "Shoe", images=(Image("file://[x"), Image("https://host/a.png"))))
    assert shown["images"] == [{"uri": "https://host/a.png"}]
