"""Training and test rows made one corpus: what is looked up, merged, refused or skipped, and that the message says where."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eval.corpus import prepare
from eval.rows import RowFile, read_file
from hangtag.errors import InvalidData
from tests.fakes import vocabulary_of


def _file(tmp_path: Path, name: str, *rows: dict[str, Any]) -> RowFile:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_file(path)


def _row(id: str, *tags: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "title": f"Listing {id}", "tags": tags, **more}


@pytest.fixture
def train(tmp_path: Path) -> RowFile:
    return _file(tmp_path, "train.jsonl", _row("a", "Mug", "blue"), _row("b", "mug"), _row("c", "mug", "tea"))


def test_the_vocabulary_is_the_labels_of_both_and_case_variants_are_one(train: RowFile, tmp_path: Path) -> None:
    corpus = prepare(train, _file(tmp_path, "test.jsonl", _row("t", "MUG", "Cup")))
    assert [tag.id for tag in corpus.vocabulary] == ["Cup", "blue", "mug", "tea"]
    assert corpus.gold == ((2, 0),)
    assert corpus.training_gold == ((2, 1), (2,), (2, 3))
    assert corpus.training_labels.toarray().tolist() == [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert corpus.notes == (
        "2 labels merged into one that differs only in case",
        "merged: 'mug' (2) also stands for 'Mug' (1), 'MUG' (1)",
    )


def test_a_shared_id_is_an_error_or_leaves_training(train: RowFile, tmp_path: Path) -> None:
    test = _file(tmp_path, "test.jsonl", _row("t", "mug"), _row("b", "tea"))
    with pytest.raises(InvalidData) as caught:
        prepare(train, test)
    said = f"{train.path}: line 2: the id 'b' is in training and test: {test.path}: line 2 has it too; 1 rows are shared"
    assert str(caught.value) == said
    corpus = prepare(train, test, skip_bad=True)
    assert len(corpus.training_gold) == len(corpus.gold) == 2
    assert [(each.file, each.line) for each in corpus.skipped] == [(str(train.path), 2)]


def test_an_unknown_tag_is_an_error_or_skips_the_row_or_is_left_out(tmp_path: Path) -> None:
    test = _file(tmp_path, "test.jsonl", _row("t", "mug", "Silk"), _row("u", "Silk"), _row("v", "tea"))
    vocabulary = vocabulary_of("mug", "tea")
    with pytest.raises(InvalidData) as caught:
        prepare(None, test, vocabulary)
    assert str(caught.value) == f"{test.path}: line 1: row 't': the vocabulary 'test' has no tag 'Silk'"
    skipping = prepare(None, test, vocabulary, skip_bad=True)
    assert skipping.gold == ((1,),)
    assert [(each.line, each.reason) for each in skipping.skipped] == [
        (1, "the vocabulary 'test' has no tag 'Silk'"),
        (2, "the vocabulary 'test' has no tag 'Silk'"),
    ]
    known = prepare(None, test, vocabulary, known_tags=True)
    assert known.gold == ((0,), (1,))
    assert known.notes == ("left out of test.jsonl, since the vocabulary lacks their tags: 1 rows and 1 labels",)
    with pytest.raises(InvalidData, match="no row has a tag of the vocabulary 'test'"):
        prepare(None, _file(tmp_path, "silk.jsonl", _row("u", "Silk")), vocabulary, known_tags=True)


def test_no_test_rows_are_an_error(train: RowFile, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"empty\.jsonl: the file has no rows$"):
        prepare(train, _file(tmp_path, "empty.jsonl"))
    with pytest.raises(InvalidData, match=r"empty\.jsonl: the file has no rows$"):
        prepare(_file(tmp_path, "empty.jsonl"), train)
    (tmp_path / "bad.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(InvalidData, match=r"bad\.jsonl: the file has no rows left"):
        prepare(train, read_file(tmp_path / "bad.jsonl", skip_bad=True))


def test_a_limit_draws_the_same_rows_every_time_and_a_larger_one_keeps_them(tmp_path: Path) -> None:
    test = _file(tmp_path, "test.jsonl", *(_row(str(n), "mug") for n in range(40)))
    corpus = prepare(None, test)
    small, large = ([row.listing.id for row in corpus.limited(limit).test.rows] for limit in (5, 20))
    assert len(small) == 5
    assert set(small) < set(large)
    assert large == sorted(large, key=int)
    assert corpus.limited(40) is corpus.limited(None) is corpus
    assert corpus.limited(5).notes == ("5 of 40 test rows, drawn by a hash of their ids",)
    assert corpus.limited(5).test.lines == tuple(int(id) + 1 for id in small)


def test_rows_that_can_not_be_asked_leave_the_corpus(tmp_path: Path) -> None:
    corpus = prepare(None, _file(tmp_path, "test.jsonl", _row("t", "mug"), _row("u", "tea")))
    left = corpus.refusing({0: "no French"})
    assert left.gold == ((1,),)
    assert [(each.line, each.reason) for each in left.skipped] == [(1, "no French")]
    with pytest.raises(InvalidData, match="no row can be asked: no French"):
        corpus.refusing({0: "no French", 1: "nor German"})


NOON = "2026-01-02T12:00:00Z"


def test_events_with_a_product_get_the_tags_of_its_training_row(train: RowFile, tmp_path: Path) -> None:
    events = [
        {"type": "like", "at": NOON, "product": "a"},
        {"type": "view", "at": NOON, "product": "nowhere"},
        {"type": "view", "at": NOON, "tags": ["TEA"]},
    ]
    corpus = prepare(train, _file(tmp_path, "test.jsonl", _row("t", "mug", events=events)))
    assert [event.tags for event in corpus.events[0]] == [("mug", "blue"), (), ("tea",)]
    assert "1 events say nothing: they have no tags, and their products are not in training" in corpus.notes
    assert set(corpus.profile(0).weights) == {corpus.vocabulary.index(tag) for tag in ("mug", "blue", "tea")}
    later = prepare(train, _file(tmp_path, "late.jsonl", _row("t", "mug", events=events, at="2026-01-12T12:00:00Z")))
    assert later.profile(0).weights[0] < corpus.profile(0).weights[0]
    assert later.test.rows[0].at == datetime(2026, 1, 12, 12, tzinfo=UTC)


def test_an_event_with_an_unknown_tag_is_an_error_or_skips_the_row(train: RowFile, tmp_path: Path) -> None:
    test = _file(
        tmp_path, "test.jsonl", _row("s", "tea"), _row("t", "mug", events=[{"type": "like", "at": NOON, "tags": ["Silk"]}])
    )
    with pytest.raises(InvalidData, match=r"test\.jsonl: line 2: row 't': .* has no tag 'Silk'"):
        prepare(train, test)
    corpus = prepare(train, test, skip_bad=True)
    assert len(corpus.gold) == len(corpus.events) == len(corpus.test.rows) == 1


def test_products_on_both_sides_are_said(tmp_path: Path) -> None:
    train = _file(tmp_path, "train.jsonl", _row("a", "mug", product_id="p"))
    corpus = prepare(train, _file(tmp_path, "test.jsonl", _row("t", "mug", product_id="p")))
    assert corpus.notes == ("1 products are in training and test under different row ids",)
