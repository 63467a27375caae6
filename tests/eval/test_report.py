"""A run's report, its page and the comparison of two runs, on a few rows answered by hand; no model is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from eval.compare import compare, keep_for_comparison
from eval.corpus import Corpus, prepare
from eval.page import render, worst_rows
from eval.predictions import Prediction, append_predictions, key_of, read_predictions
from eval.report import Report, make_report, read_report, write_report
from eval.rows import Row, RowFile
from eval.systems import SystemRun, candidates_alone, predictions_file, run_baseline
from hangtag.errors import InvalidData
from hangtag.listing import Listing

EVIL = "<script>alert('“x”')</script>"
ABOUT: dict[str, Any] = {
    "command": "hangtag eval run --test 'a&b.jsonl'",
    "finished": "2026-01-02 12:00 UTC",
    "inputs": {"test": {"file": "test.jsonl", "rows": 8}, "encoder": "none"},
    "at_most": False,
    "seconds": 1.5,
    "peak_memory_mib": 700,
}


def _file(name: str, rows: list[Row]) -> RowFile:
    return RowFile(Path(name), tuple(rows), tuple(range(1, len(rows) + 1)), "0" * 64)


def _corpus(prefix: str = "t") -> Corpus:
    train = [Row(Listing(f"Linen shirt {n}", id=f"a{n}"), ("shirt", "linen")) for n in range(6)]
    train += [Row(Listing(f"Mug {n}", id=f"b{n}"), ("mug",)) for n in range(4)]
    test = [
        Row(Listing(f"Linen shirt {EVIL}", EVIL * 30, (("<b>", "<i>"),), "en", f"{prefix}{n}"), ("shirt", "linen"))
        for n in range(5)
    ]
    test += [Row(Listing("Mug", id=f"{prefix}{n}"), ("mug", EVIL)) for n in range(5, 8)]
    return prepare(_file("train.jsonl", train), _file("test.jsonl", test))


def _answers(corpus: Corpus, right: int, system: str = "model") -> list[Prediction]:
    """The first `right` rows answered with their gold tags first, the others wrongly."""
    ids = [tag.id for tag in corpus.vocabulary]
    predictions = []
    for position, gold in enumerate(corpus.gold):
        truth = [ids[tag] for tag in gold]
        wrong = [tag for tag in ids if tag not in truth]
        tags = tuple((truth + wrong if position < right else wrong + truth)[:2])
        why = "It says “Linen” and “silk”." if position < 5 else "It says “Mug”."
        predictions.append(
            Prediction(
                key_of([system], [position]),
                corpus.test.rows[position].listing.id,
                tuple(truth),
                tags,
                (0.9, 0.4),
                why,
                2 if position < 5 else 1,
                1 if position < 5 else 0,
                tags[::-1],
                (2, 1),
                frozenset(tags[:1]),
            )
        )
    return predictions


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return _corpus()


def _run(corpus: Corpus, directory: Path, right: int, system: str = "model") -> tuple[Report, list[SystemRun]]:
    directory.mkdir(parents=True, exist_ok=True)
    model = SystemRun("hangtag", _answers(corpus, right, system), 2.0)
    runs = [model, candidates_alone(corpus, model.predictions, 2, directory)]
    runs += [run_baseline(name, corpus, 2, directory, lambda _: None) for name in ("popularity", "tfidf")]
    report = make_report(corpus, runs, k=2, about=ABOUT)
    append_predictions(model.predictions, predictions_file(directory, "hangtag"))
    keep_for_comparison(corpus, directory)
    write_report(report, directory)
    return report, runs


def test_a_report_has_every_figure_with_its_interval(corpus: Corpus, tmp_path: Path) -> None:
    report, _ = _run(corpus, tmp_path, right=6)
    assert read_report(tmp_path) == json.loads(json.dumps(report)) == report
    assert list(report["systems"]) == ["hangtag", "candidates", "popularity", "tfidf"]
    ours = report["systems"]["hangtag"]
    assert ours["all"]["P@1"]["value"] == pytest.approx(6 / 8)
    assert ours["seen"]["P@1"]["value"] == pytest.approx(6 / 8)
    assert ours["all"]["R@2"]["value"] == ours["seen"]["R@2"]["value"] == pytest.approx(6 / 8)
    for system in report["systems"].values():
        for part in ("all", "seen"):
            assert all(each["low"] <= each["value"] <= each["high"] for each in system[part].values())
    assert (ours["quotes"], ours["false quotes"], ours["explanations"]) == (13, 5, 8)
    assert ours["all"]["quotes hold"]["value"] == pytest.approx(3 / 8)
    assert ours["in the model's own order"]["P@1"] == pytest.approx(6 / 8)
    assert ours["auto"] == {"share": 0.5, "precision": 0.75}
    assert "auto" not in report["systems"]["tfidf"]
    assert "ECE" in ours["all"]
    assert "ECE" not in report["systems"]["candidates"]["all"]
    assert report["rows"] == {
        "test": 8,
        "test with seen labels": 8,
        "training": 10,
        "labels": 4,
        "labels in training": 3,
    }
    assert report["differences"]["hangtag - popularity"]["all"]["P@1"]["value"] == pytest.approx(1 / 8)
    assert report["systems"]["tfidf"]["picked"]["features"]


def test_baselines_that_have_answered_are_not_trained_again(corpus: Corpus, tmp_path: Path) -> None:
    first = run_baseline("tfidf", corpus, 2, tmp_path, lambda _: None)
    again = run_baseline("tfidf", corpus, 2, tmp_path, lambda _: pytest.fail("trained again"))
    assert (again.predictions, again.picked, again.earlier) == (first.predictions, first.picked, 8)
    assert again.seconds == first.seconds
    part = run_baseline("tfidf", corpus.limited(3), 2, tmp_path, lambda _: pytest.fail("trained again"))
    assert len(part.predictions) == 3
    assert run_baseline("tfidf", corpus, 1, tmp_path, lambda _: None).earlier == 0


def test_candidates_alone_are_filled_up_with_what_is_popular(corpus: Corpus, tmp_path: Path) -> None:
    answered = [replace(each, candidates=()) for each in _answers(corpus, 8)]
    run = candidates_alone(corpus, answered, 3, tmp_path)
    assert {each.tags for each in run.predictions} == {("linen", "shirt", "mug")}
    assert list(read_predictions(tmp_path / "predictions.candidates.jsonl").values()) == run.predictions


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]


def test_the_page_needs_nothing_else_and_runs_nothing_of_what_rows_say(corpus: Corpus, tmp_path: Path) -> None:
    report, runs = _run(corpus, tmp_path, right=6)
    page = render(report, corpus, runs)
    found = _Tags()
    found.feed(page)
    assert not {"script", "link", "img", "iframe", "b>"} & set(found.tags)
    assert found.links == []
    assert "&lt;script&gt;" in page
    assert page.count('<article class="row">') == 8
    assert page.count("<svg ") == 4
    assert '<q class="true">“Linen”</q>' in page
    assert '<q class="false">“silk”</q>' in page
    assert "a&amp;b.jsonl" in page


def test_the_worst_rows_come_first_and_surer_ones_before(corpus: Corpus) -> None:
    predictions = _answers(corpus, right=6)
    predictions[7] = replace(predictions[7], confidences=(1.0, 0.5))
    worst = worst_rows(corpus, predictions, 2, count=3)
    assert [row.id for row in worst] == ["t7", "t6", "t0"]
    assert worst[0].gold == [("mug", False, True), (EVIL, False, False)]
    assert [right for _, _, right in worst[0].answer] == [False, False]
    assert (worst[2].ndcg, worst[2].is_cut) == (1.0, True)


def test_two_runs_are_compared_on_the_rows_both_have(tmp_path: Path) -> None:
    many = _corpus()
    _run(many, tmp_path / "a", right=7)
    _run(many.limited(6), tmp_path / "b", right=0, system="other")
    found = compare(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (found.rows, found.only_first, found.only_second) == (6, 2, 0)
    figures = {each.name: each for each in found.figures}
    assert figures["P@1"].first - figures["P@1"].second == pytest.approx(figures["P@1"].difference.value)
    assert figures["P@1"].verdict == "first"
    assert figures["ECE"].verdict in ("first", "no real difference")
    back = {each.name: each for each in compare(str(tmp_path / "b"), str(tmp_path / "a")).figures}
    assert back["P@1"].verdict == "second"
    against = compare(str(tmp_path / "a"), f"{tmp_path / 'a'}:tfidf")
    assert {each.name for each in against.figures} >= {"P@1", "nDCG@2", "PSP@2"}
    assert all(each.verdict == "no real difference" for each in compare(str(tmp_path / "a"), str(tmp_path / "a")).figures)


def test_predictions_of_other_runs_into_the_same_folder_are_left_alone(tmp_path: Path) -> None:
    corpus = _corpus()
    _run(corpus, tmp_path, right=7)
    append_predictions(_answers(corpus, 0, "later"), predictions_file(tmp_path, "hangtag"))
    figures = {each.name: each for each in compare(str(tmp_path), str(tmp_path)).figures}
    assert figures["P@1"].first == pytest.approx(7 / 8)


def test_runs_that_can_not_be_compared_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    here = tmp_path / "here"
    report, _ = _run(corpus, here, right=6)
    with pytest.raises(InvalidData, match=r"absent.*report\.json: can't be read"):
        compare(str(tmp_path / "absent"), str(here))
    with pytest.raises(InvalidData, match="the report has no system 'magic'; it has hangtag, candidates"):
        compare(f"{here}:magic", str(here))
    other = tmp_path / "other"
    _run(_corpus("u"), other, right=6)
    with pytest.raises(InvalidData, match="have no row in common"):
        compare(str(here), str(other))
    longer = tmp_path / "longer"
    _run(corpus, longer, right=6)
    write_report(report | {"k": 3}, longer)
    with pytest.raises(InvalidData, match=r"gave 2 tags a row and .*longer 3; run one of them again"):
        compare(str(here), str(longer))
    predictions_file(here, "hangtag").unlink()
    with pytest.raises(InvalidData, match="8 predictions of hangtag are missing"):
        compare(str(here), str(here))
    (here / "report.json").write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(InvalidData, match="no report of this version"):
        compare(str(here), str(here))
    (here / "report.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidData, match="not valid JSON"):
        compare(str(here), str(here))
