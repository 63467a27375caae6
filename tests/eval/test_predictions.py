"""Predictions on disk: the round trip, what an interruption leaves, and what is no prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.predictions import Prediction, answers_of, append_predictions, key_of, read_predictions, system_of
from hangtag.errors import InvalidData
from tests.fakes import vocabulary_of

FULL = Prediction("k-1", "1", ("a",), ("b", "a"), (0.75, 0.5), "It says “a”.", 1, 0, ("a", "c"), (2, 1), frozenset({"b"}))
BARE = Prediction("k-2", "2", ("c",), ("a",), (0.25,))
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(_texts, st.floats(0, 1)), max_size=4), _texts, _texts)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, tags: list[tuple[str, float]], id: str, why: str
) -> None:
    file = tmp_path_factory.mktemp("predictions") / "predictions.jsonl"
    given_tags, confidences = tuple(tag for tag, _ in tags), tuple(confidence for _, confidence in tags)
    prediction = Prediction("key", id, (id,), given_tags, confidences, why, candidates=given_tags)
    append_predictions([prediction], file)
    assert read_predictions(file) == {"key": prediction}


def test_a_line_that_was_cut_off_is_removed_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "predictions.jsonl"
    assert read_predictions(file) == {}
    append_predictions([FULL, BARE], file)
    whole = file.read_bytes()
    file.write_bytes(whole + '{"key": "亚'.encode()[:-1])
    assert read_predictions(file) == {"k-1": FULL, "k-2": BARE}
    assert file.read_bytes() == whole


@pytest.mark.parametrize("line", ["{}", "[]", "nothing", '{"key": "a", "id": "1", "gold": [], "tags": [["x", 1]]}'])
def test_what_is_no_prediction_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "predictions.jsonl"
    append_predictions([FULL], file)
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(InvalidData, match=r"predictions\.jsonl: line 2: no prediction of this version"):
        read_predictions(file)


def test_answers_are_filled_up_and_know_whether_quotes_hold() -> None:
    answers = answers_of([FULL, BARE], vocabulary_of("a", "b", "c"), 2)
    assert answers.tags.tolist() == [[1, 0], [0, -1]]
    assert answers.confidences.tolist() == [[0.75, 0.5], [0.25, 0.0]]
    assert answers.quotes_hold is not None
    assert np.array_equal(answers.quotes_hold, [1, np.nan], equal_nan=True)
    assert answers_of([BARE], vocabulary_of("a"), 1).quotes_hold is None


def test_the_models_own_order_is_kept() -> None:
    assert FULL.own_order == ("a", "b")
    assert BARE.own_order == ("a",)


def test_keys_tell_systems_and_rows_apart() -> None:
    first, other_row, other_system = key_of(["a"], [1]), key_of(["a"], [2]), key_of(["b"], [1])
    assert len({first, other_row, other_system}) == 3
    assert system_of(first) == system_of(other_row) != system_of(other_system)
