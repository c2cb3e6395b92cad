"""Whose dead letters are cut off."""

from __future__ import annotations

import pytest

from consumers.erasure import mentions


@pytest.mark.parametrize(
    ("value", "is_theirs"),
    [
        (b'{"visitor_id":"v-1"}', True),
        (b"v-1 {broken", True),
        (b"default|v-1", True),
        (b'{"visitor_id":"v-10"}', False),
        (b'{"visitor_id":"v-1-x"}', False),
        (b'{"visitor_id":"xv-1"}', False),
        (b'{"visitor_id":"v.v-1"}', False),
        (b"", False),
    ],
)
def test_a_letter_is_theirs_when_it_names_them_as_a_whole_word(value: bytes, *, is_theirs: bool) -> None:
    assert mentions("v-1")(value) is is_theirs


def test_signs_in_an_id_are_no_pattern() -> None:
    assert not mentions("v.1")(b'"vx1"')
    assert mentions("a+b@c")(b'"a+b@c"')
