"""Content neighbours: what is alike, and that each modality adds to the others for items that nobody has clicked."""

from __future__ import annotations

import numpy as np

from training.fusion.codes import Histories
from training.fusion.content import ContentNeighbours, likeness
from training.sessions.data import Dataset, pad

CELLS, EACH = 16, 6


def shop() -> Histories:
    """Sixteen cells of six items, by four texts and four pictures; the last item of each cell is new.

    Who touches a cell goes on in it or in the next one, never in another.
    """
    items = np.arange(CELLS * EACH)
    cell = items // EACH
    hidden = items % EACH == EACH - 1
    walks = [np.array([EACH * one + first, EACH * ((one + 1) % CELLS) + second])
             for one in range(CELLS) for first in range(EACH - 1) for second in range(EACH - 1)]  # fmt: skip
    stays = pad([np.array([EACH * one]) for one in range(CELLS)], [EACH * one + EACH - 1 for one in range(CELLS)])
    data = Dataset("cells", items, walks, walks, stays, stays, mask_seen=True)
    return Histories(data, np.stack((cell // 4, items * 0), axis=1), np.stack((cell % 4, items * 0), axis=1), hidden)


def mean_rank(log: Histories, modalities: str) -> float:
    return float(ContentNeighbours(log, tuple(modalities.split("+"))).ranks(log.data.test, log.hidden, batch=5).mean())


def test_likeness_counts_the_levels_from_coarse_to_fine() -> None:
    codes = np.array([[1, 2, 3], [1, 2, 4], [1, 9, 3], [8, 2, 3]])
    assert likeness(codes, np.array([0, 3])).tolist() == [[7, 0], [3, 0], [1, 0], [0, 7]]


def test_text_and_picture_together_find_the_new_item_of_the_cell_and_each_alone_only_its_row_or_column() -> None:
    log = shop()
    assert mean_rank(log, "text+image") == 1.0
    assert mean_rank(log, "text") == mean_rank(log, "image") == 2.5, "in the middle of four that are alike"


def test_ids_bring_what_resembles_the_neighbours_of_the_prefix() -> None:
    log = shop()
    following = np.array([EACH * ((one + 1) % CELLS) + EACH - 1 for one in range(CELLS)])
    onward = Histories(
        Dataset("cells", log.data.ids, log.data.fit, log.data.fit, log.data.test, pad(
            [row[row >= 0] for row in log.data.test.items], following.tolist()), mask_seen=True),
        log.text, log.image, log.hidden,
    )  # fmt: skip
    assert mean_rank(onward, "ids+text+image") < mean_rank(onward, "text+image")


def test_what_was_touched_does_not_come_again_and_warm_items_may_stand_before_new_ones() -> None:
    log = shop()
    everywhere = ContentNeighbours(log, ("text", "image")).ranks(log.data.test)
    assert (everywhere == 3.0).all(), "in the middle of the cell's five others"
