"""The demo shop as it is served, in one process: artefact, item vectors, retrieval and ranker over test visits.

Vectors come from the very networks, candidates and features of serving; the rules of the page are left out.

Shapes: N prefixes, n items, C candidates, K places, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.catalog import embedding_text
from contracts.keys import item_key
from contracts.settings import CatalogSettings
from contracts.tensors import EventKind
from fusion import artefact as artefacts
from fusion.artefact import Artefact
from fusion.features import ItemFacts, ItemTable, SessionRows, candidate_features, fact_columns, facts_of
from shop.catalog import catalog, draw_pictures, products
from shop.taste import Shelf, shelf_of
from streams.pictures import PictureLoader
from training.demo_clicks import Visit, batches
from training.demo_metrics import ranks
from training.demo_pages import MATCHES, POPULAR
from training.demo_pictures import encode_pictures
from training.demo_recommender import ring_places

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Encode = Callable[[Sequence[str]], Floats]
Tick = Callable[[], None]


@dataclass(frozen=True)
class Served:
    """The shop's items and networks.

    Attributes:
        artefact: as served.
        shelf: products in the order of the catalogue.
        texts: of the products, as the item encoder reads them.
        pixels: uint8 [n, H, V, 3].
        text: float32 [n, text_width] of the text encoder.
        image: float32 [n, image_width] of the picture network.
        behaviour: float32 [n, D]; zeros for items without.
        has: float32 [n, 3].
        facts: of the catalogue.
    """

    artefact: Artefact
    shelf: Shelf
    texts: list[str]
    pixels: NDArray[np.uint8]
    text: Floats
    image: Floats
    behaviour: Floats
    has: Floats
    facts: list[ItemFacts]

    def with_text(self, rows: Ints, text: Floats) -> Served:
        """The same with other text vectors for some items."""
        changed = self.text.copy()
        changed[rows] = text
        return replace(self, text=changed)

    def with_pixels(self, pixels: NDArray[np.uint8]) -> Served:
        """The same with other pictures."""
        return replace(self, pixels=pixels, image=encode_pictures(self.artefact.image, pixels).numpy())

    def table(self) -> ItemTable:
        """Item vectors and facts, as the ranker holds them."""
        with torch.no_grad():
            made = self.artefact.fusion(*(torch.from_numpy(part) for part in (self.text, self.image, self.behaviour, self.has)))
        vectors = (made.fused, made.text, made.image, made.behaviour)
        return ItemTable(*(vector.numpy() for vector in vectors), **fact_columns(self.facts))


def load(folder: Path, images: Path, encode: Encode, tick: Tick = lambda: None) -> Served:
    """The demo shop of an artefact.

    Args:
        folder: of the artefact.
        images: where the pictures are drawn, if they are not there yet.
        encode: text encoder.
        tick: called after each picture.
    """
    made, goods = artefacts.load(folder), products()
    for _ in draw_pictures(goods, images):
        tick()
    items = catalog(images)
    reader = PictureLoader(CatalogSettings())
    pixels = np.stack([reader.load(item.images[0].uri) for item in items])
    reader.close()
    known = {int(key): vector for key, vector in zip(made.keys, made.vectors, strict=True)}
    keys = [item_key(item.tenant_id, item.item_id) for item in items]
    behaviour = np.stack([known.get(key, np.zeros(made.vectors.shape[1], np.float32)) for key in keys])
    has = np.ones((len(items), 3), np.float32)
    has[:, 2] = [key in known for key in keys]
    texts = [embedding_text(item) for item in items]
    image = encode_pictures(made.image, pixels).numpy()
    return Served(
        made, shelf_of(goods), texts, pixels, encode(texts), image, behaviour, has, [facts_of(item) for item in items]
    )


@dataclass(frozen=True)
class Asked:
    """What a model answers to every prefix of some visits whose next event is a view.

    Attributes:
        targets: int64 [N], the item viewed next.
        found: float64 [N], its rank by the encoder alone among all items that can be bought.
        candidates: int64 [N, C], best first by the ranker, none twice; -1 at the end.
    """

    targets: Ints
    found: NDArray[np.float64]
    candidates: Ints

    def pages(self, places: int) -> Ints:
        """The first places [N, K]."""
        return self.candidates[:, :places]

    def ndcg(self, order: Ints | None = None, k: int = 10) -> float:
        """Mean of 1 / log2(1 + place) of the item viewed next, 0 beyond place k, in this or the ranker's order."""
        pages = (self.candidates if order is None else order)[:, :k]
        hit = pages == self.targets[:, None]
        return float((hit / np.log2(np.arange(2, k + 2))).sum(axis=1).mean())


@torch.no_grad()
def ask(served: Served, visits: Sequence[Visit], table: ItemTable | None = None) -> Asked:
    """Rank for every prefix of the visits; the visitors' own table may differ from what they are offered by nothing."""
    items = served.table() if table is None else table
    session = served.artefact.session
    fused = torch.from_numpy(items.fused)
    barred = np.where(served.shelf.is_open, 0.0, -np.inf).astype(np.float32)
    popular = np.argsort(-np.where(served.shelf.is_open, items.popularity, -1.0), kind="stable")[:POPULAR]
    decay = float(torch.sigmoid(session.decay)[1])
    targets, found, candidates = [], [], []
    for clicks in batches(visits, 512, None):
        rows = torch.from_numpy(clicks.items)
        query, pointer = session(fused[rows], torch.from_numpy(clicks.kinds))
        asked = clicks.targets >= 0
        ring, newest = ring_places(torch.where(torch.from_numpy(clicks.kinds) > 0, rows, -1), session.config.ring)
        wanted = torch.from_numpy(asked)
        scores = query[wanted] @ fused.T
        scores = scores.scatter_add(1, ring[wanted], pointer[wanted] * newest[wanted]).numpy() + barred
        place = np.broadcast_to(np.arange(clicks.items.shape[1]), clicks.items.shape)[asked]
        held = _held(clicks.items, session.config.ring)[asked]
        events = ((1.0 - decay ** (place + 1.0)) / (1.0 - decay)).astype(np.float32)
        rows_of = SessionRows(query[wanted].numpy(), pointer[wanted].numpy(), held, events)
        offered = np.concatenate(
            (np.argsort(-scores, axis=1, kind="stable")[:, :MATCHES], np.broadcast_to(popular, (len(scores), POPULAR))), axis=1
        )
        targets.append(clicks.targets[asked])
        found.append(ranks(scores, clicks.targets[asked]))
        candidates.append(_ranked(served, items, rows_of, offered))
    return Asked(np.concatenate(targets), np.concatenate(found), np.concatenate(candidates))


def _held(items: Ints, ring: int) -> Ints:
    """Rings [B, T, W] after each event, newest first, -1 before the start."""
    padded = np.pad(items, ((0, 0), (ring - 1, 0)), constant_values=-1)
    return np.lib.stride_tricks.sliding_window_view(padded, ring, axis=1)[..., ::-1].copy()


def _ranked(served: Served, items: ItemTable, sessions: SessionRows, offered: Ints) -> Ints:
    """Candidates [N, C] by click probability, a repeated one only once."""
    features = candidate_features(sessions, items, offered)
    scores = served.artefact.scorer(torch.from_numpy(features.reshape(-1, features.shape[-1]))).numpy().reshape(offered.shape)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(offered, order, axis=1)
    again = np.zeros(ranked.shape, dtype=bool)
    for row, page in enumerate(ranked):
        again[row, np.setdiff1d(np.arange(len(page)), np.unique(page, return_index=True)[1])] = True
    last = np.argsort(again, axis=1, kind="stable")
    return np.take_along_axis(np.where(again, -1, ranked), last, axis=1)


def views_of(visits: Sequence[Visit]) -> list[list[int]]:
    """Items viewed in each visit."""
    return [[item for item, kind in visit if kind == EventKind.VIEW] for visit in visits]
