"""Calibrating the tiny bundle, whose model is random: what its words carry is calibrated all the same."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.corpus import Corpus, prepare
from eval.rows import Row, RowFile
from finetune.calibrate import Asked, ask_rows, calibrate, calibration_error, keep
from finetune.reliability import draw_reliability
from hangtag.bundle import Bundle
from hangtag.calibration import ANY, MEMORY, WORDS, Clues
from hangtag.errors import InvalidData
from hangtag.listing import Listing
from serve.assemble import assemble
from serve.suggester import Suggester

TITLES = {
    "Linen shirt": "material/linen",
    "Cotton shirt": "material/cotton",
    "Summer shoes": "category/shoes",
    "A box": "season/summer",
}


def corpus_of(suggester: Suggester, count: int = 40) -> Corpus:
    """Rows of four kinds; of the last kind the listing says nothing of its tag."""
    kinds = list(TITLES.items())
    rows = tuple(
        Row(Listing(title=f"{kinds[number % 4][0]} {number}", id=str(number)), (kinds[number % 4][1],)) for number in range(count)
    )
    return prepare(None, RowFile(Path("rows.jsonl"), rows, tuple(range(1, count + 1))), suggester.vocabulary)


def simulated(rows: int, seed: int, base: float) -> Asked:
    """Tags of a vocabulary in which a tag with evidence 0 is right with the logit `base`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        evidence = random.normal(0, 2, 3)
        right = random.random(3) < 1 / (1 + np.exp(-evidence - base))
        found.append([(Clues(-1.0, rank, float(e)), bool(r)) for rank, (e, r) in enumerate(zip(evidence, right, strict=True), 1)])
    return Asked(found, np.full(3 * rows, 0.9))


def test_rows_are_asked_as_they_are_served_and_the_bundle_keeps_the_curve(tiny_bundle: Path, tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    shutil.copytree(tiny_bundle, directory)
    before = assemble(directory)
    ticks: list[None] = []
    corpus = corpus_of(before)
    try:
        asked = asyncio.run(ask_rows(before, corpus, lambda: ticks.append(None), k=3, explain=False))
    finally:
        asyncio.run(before.engine.close())
    assert (len(asked.rows), len(ticks)) == (40, 40)
    assert all(1 <= len(row) <= 3 for row in asked.rows)
    assert all([clues.rank for clues, _ in row] == list(range(1, len(row) + 1)) for row in asked.rows)
    done = calibrate([asked], 0.9)
    assert done.curve.figures["log loss, before"] > done.curve.figures[f"log loss, {done.curve.method}"]
    bundle = keep(directory, done, corpus.vocabulary.hash, memory=False)
    assert bundle.calibrations.find(corpus.vocabulary.hash, WORDS, own=True) == done.curve
    after = assemble(directory)
    try:
        again = asyncio.run(ask_rows(after, corpus, k=3, explain=False))
    finally:
        asyncio.run(after.engine.close())
    clues, known = ([clues for row in each.rows for clues, _ in row] for each in (asked, again))
    assert [each.evidence for each in known] == [each.evidence for each in clues], "clues do not depend on the calibration"
    paths = [each.log_probability for each in clues]
    assert [each.log_probability for each in known] == pytest.approx(paths, abs=1e-5), "batches round otherwise"
    assert again.confidences.tolist() == [done.curve.probability(each) for each in known]


def test_of_rows_that_are_labelled_partly_only_their_facets_are_judged(suggester: Suggester) -> None:
    corpus = corpus_of(suggester, 8)
    whole = asyncio.run(ask_rows(suggester, corpus, k=8, exactly=True, explain=False))
    partly = asyncio.run(ask_rows(suggester, corpus, k=8, exactly=True, explain=False, partly=True))
    facets = [suggester.vocabulary.tags[gold[0]].facet for gold in corpus.gold]
    sizes = {facet: sum(tag.facet == facet for tag in suggester.vocabulary) for facet in facets}
    assert [len(row) for row in whole.rows] == [8] * 8
    assert [len(row) for row in partly.rows] == [sizes[facet] for facet in facets]
    assert all(sum(right for _, right in row) == 1 for row in partly.rows), "ranks and right tags stay what they were"
    assert len(partly.confidences) == sum(map(len, partly.rows))


def test_a_row_that_can_not_be_asked_is_named(suggester: Suggester) -> None:
    corpus = corpus_of(suggester, 30)
    silent = Row(Listing(title="Linen", id="strange", language="fr"), ("material/linen",))
    rows = (*corpus.test.rows[:-1], silent)
    broken = prepare(None, RowFile(Path("rows.jsonl"), rows, tuple(range(1, 31))), suggester.vocabulary)
    with pytest.raises(InvalidData, match=r"rows\.jsonl: line 30: row 'strange': tiny@1 does not answer in 'fr'"):
        asyncio.run(ask_rows(suggester, broken, k=3, explain=False))


def test_a_curve_for_unseen_vocabularies_is_judged_on_those_left_out_and_promises_nothing() -> None:
    alike = [simulated(200, seed, 0.0) for seed in range(3)]
    done = calibrate(alike, 0.7, unseen=True)
    assert done.curve.promise is None
    assert done.curve.figures["ECE"] < 0.05
    assert calibrate(alike, 0.7).curve.promise is not None, "rows of one vocabulary are enough for a promise"
    different = [simulated(200, seed, base) for seed, base in enumerate((-2.0, 0.0, 2.0))]
    far = calibrate(different, 0.7, unseen=True).curve.figures["ECE"]
    assert far > 0.1, "what holds for the others does not hold for the one left out, and that is said"
    with pytest.raises(InvalidData, match="rows of 2 vocabularies or more") as caught:
        calibrate(alike[:1], 0.9, unseen=True)
    assert caught.value.field == "rows"


def test_curves_of_other_vocabularies_stay(tiny_bundle: Path, tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    shutil.copytree(tiny_bundle, directory)
    first, second = calibrate([simulated(100, 1, 0.0)], 0.9), calibrate([simulated(100, 2, 1.0)], 0.9)
    keep(directory, first, "abc", memory=True)
    keep(directory, first, None, memory=False)
    keep(directory, second, "abc", memory=True)
    found = Bundle.load(directory).calibrations.curves
    assert found == {("abc", MEMORY): second.curve, (ANY, WORDS): first.curve}


def test_the_error_of_calibration() -> None:
    right = np.arange(3_000) % 4 == 0
    assert calibration_error(np.full(3_000, 0.25), right) == pytest.approx(0)
    assert calibration_error(np.full(3_000, 0.85), right) == pytest.approx(0.6)


def test_the_reliability_diagram_is_a_picture(tmp_path: Path) -> None:
    done = calibrate([simulated(100, 1, 0.0)], 0.9)
    file = tmp_path / "reliability.png"
    draw_reliability({"before": done.before, "after": done.held_out}, done.right, file)
    assert file.read_bytes().startswith(b"\x89PNG")
