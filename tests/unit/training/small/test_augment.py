"""Augmentation keeps what a session, a text or a picture means."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.small.augment_content import crop_pictures, drop_words, jitter, mirror
from training.small.augment_sessions import Augment, crop, half_changed, mask, reorder


def is_within(part: list[int], whole: list[int]) -> bool:
    """Whether `part` is a subsequence of `whole`."""
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("length", [2, 3, 7, 40])
def test_a_crop_is_a_run_of_the_session_and_never_shorter_than_two(length: int) -> None:
    session, rng = np.arange(length), np.random.default_rng(1)
    for _ in range(50):
        part = crop(session, rng)
        assert len(part) >= max(2, int(np.ceil(0.6 * length)))
        assert part.tolist() == list(range(int(part[0]), int(part[0]) + len(part)))


def test_a_masked_session_keeps_the_order_and_two_clicks_at_least() -> None:
    session, rng = np.array([5, 3, 5, 9, 1, 4]), np.random.default_rng(2)
    lengths = set()
    for _ in range(80):
        part = mask(session, rng, chance=0.9)
        lengths.add(len(part))
        assert is_within(part.tolist(), session.tolist())
    assert min(lengths) == 2


def test_a_reordered_session_holds_the_same_clicks_and_moves_only_one_run() -> None:
    session, rng = np.arange(20), np.random.default_rng(3)
    moved = 0
    for _ in range(50):
        part = reorder(session, rng)
        assert sorted(part.tolist()) == session.tolist()
        places = np.flatnonzero(part != session)
        moved += len(places) > 0
        assert len(places) == 0 or places.max() - places.min() < 6
    assert moved > 40


def test_half_of_the_sessions_change_and_none_in_place() -> None:
    sessions = [np.arange(10) + number for number in range(400)]
    before = [session.copy() for session in sessions]
    augment: Augment = half_changed
    seen = augment(sessions, np.random.default_rng(4))
    changed = sum(not np.array_equal(one, other) for one, other in zip(seen, sessions, strict=True))
    assert 120 < changed < 220
    assert all(np.array_equal(one, other) for one, other in zip(before, sessions, strict=True))


def test_dropped_words_leave_the_others_in_order_and_one_at_least() -> None:
    rng = np.random.default_rng(5)
    text = "red wool scarf with a long fringe"
    for _ in range(30):
        part = drop_words(text, rng, 0.5).split()
        assert part
        assert not Counter(part) - Counter(text.split())
    assert drop_words("scarf", rng, 1.0) == "scarf"


def test_pictures_keep_shape_and_type_and_a_flat_picture_stays_flat() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    for change in (mirror, crop_pictures, jitter):
        made = change(pixels, rng)
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
        assert not np.array_equal(made, pixels)
    flat = np.full((4, 16, 16, 3), 90, np.uint8)
    assert np.array_equal(mirror(flat, rng), flat)
    assert np.array_equal(crop_pictures(flat, rng), flat)
    assert (jitter(flat, rng).std(axis=(1, 2)) == 0).all()


def test_a_mirrored_picture_is_the_picture_from_right_to_left() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert np.array_equal(mirror(pixels, np.random.default_rng(0), 1.0), pixels[:, :, ::-1])
