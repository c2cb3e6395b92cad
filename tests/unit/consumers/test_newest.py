"""What a consumer shows: newest per visitor, none twice, never back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.newest import NewestPages

pages = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 20)), max_size=50)


@given(pages)
def test_pages_of_a_visitor_never_go_back_and_none_comes_twice(arrivals: list[tuple[bytes, int]]) -> None:
    newest = NewestPages()
    shown = [(key, offset) for key, offset in arrivals if newest.accepts(key, 0, offset)]
    for visitor in (b"a", b"b"):
        offsets = [offset for key, offset in shown if key == visitor]
        assert offsets == sorted(set(offsets))
        assert offsets[-1:] == [max((o for k, o in arrivals if k == visitor), default=-1)][: len(offsets)]
    assert newest.dropped == len(arrivals) - len(shown)


def test_a_visitor_who_moved_to_another_partition_is_shown() -> None:
    newest = NewestPages()
    assert newest.accepts(b"a", 1, 100)
    assert newest.accepts(b"a", 9, 3)


def test_memory_is_bounded_and_the_longest_silent_leave_first() -> None:
    newest = NewestPages(most=2)
    assert all(newest.accepts(key, 0, 5) for key in (b"a", b"b", b"c"))
    assert not newest.accepts(b"c", 0, 5)
    assert newest.accepts(b"a", 0, 5)
