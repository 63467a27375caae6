"""Words compared letter by letter, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest

from serve import closeness
from serve.closeness import Closeness

WORDS = ["linen", "cotton", "line"]
NAMES = np.array([7, 3, 5])


def told(close: Closeness, *words: str) -> list[dict[int, float]]:
    return [dict(zip(names.tolist(), values.tolist(), strict=True)) for names, values in close.of(words)]


def test_words_are_as_close_as_the_share_of_their_letters() -> None:
    (linen, lines, other) = told(Closeness(WORDS, NAMES), "linen", "lines", "其")
    assert linen[7] == 1.0
    assert 3 not in linen
    assert linen[5] == pytest.approx((5 / 7) ** 2)  # of " li", "lin", "ine", "ne ", " lin", "line", "ine " all but two
    assert 0 < lines[7] < 1
    assert other == {}


def test_what_was_found_before_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Closeness(WORDS, NAMES)
    first = told(close, "linens", "cottons")
    monkeypatch.setattr(closeness, "_letters", None)  # nothing is compared anew
    assert told(close, "cottons", "linens", "linens") == [first[1], first[0], first[0]]


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closeness, "KEPT", 40)
    close, fresh = Closeness(WORDS, NAMES), Closeness(WORDS, NAMES)
    for number in range(50):
        word = f"linen{number}"
        assert told(close, word, "line") == told(fresh, word, "line")
        assert sum(len(word) + len(names) for word, (names, _) in close._kept.items()) <= 40
    assert told(close, "x" * 50) == [{}]
    assert len(close._kept) <= 4


def test_without_words_nothing_is_close() -> None:
    assert told(Closeness([], np.array([], dtype=np.int64)), "linen") == [{}]
