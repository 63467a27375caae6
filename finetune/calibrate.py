"""Calibration of a bundle: rows with known tags are asked through the `Suggester` as it serves, a curve is fitted to what came of
it, and the bundle keeps it. It knows rows and curves; no table, no bar, and not how curves are fitted (`serve.calibrating`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eval.calibration import calibration_gaps
from eval.corpus import Corpus, prepare
from eval.labels import labels_of
from eval.rows import RowFile
from eval.run import CONCURRENCY, Question, make_questions
from hangtag.bundle import Bundle, write_calibration
from hangtag.calibration import ANY, MEMORY, WORDS, Calibration, Clues, Flags, Floats
from hangtag.errors import InvalidData, InvalidInput
from hangtag.formats import write_jsonl
from hangtag.vocabulary import TagVocabulary
from serve.calibrating import FEWEST_ROWS, Cases, fit_curve, log_loss
from serve.suggester import Suggester

DIGITS = 6
FEWEST_VOCABULARIES = 2

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What was suggested for the rows of one file: the tags of each row with their clues and whether they were right, and the
    confidence that each had, of all rows together, (tags,)."""

    rows: Sequence[Sequence[tuple[Clues, bool]]]
    confidences: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A new curve; of the tags it was fitted on, (tags,): the confidence before, the probability by a curve that was fitted
    without their row (or vocabulary), and whether they were right."""

    curve: Calibration
    before: Floats
    held_out: Floats
    right: Flags


def check_enough(rows: Sequence[int], *, unseen: bool = False) -> None:
    """Raises `InvalidData` where files with so many `rows` are too little to calibrate on; before they are asked."""
    if unseen and len(rows) < FEWEST_VOCABULARIES:
        raise InvalidData(
            f"rows of {FEWEST_VOCABULARIES} vocabularies or more are needed: what is said of one that nobody knows is judged on"
            " one that was left out",
            field="rows",
        )
    if sum(rows) < FEWEST_ROWS:
        raise InvalidData(f"{sum(rows)} rows are too few to calibrate on; give {FEWEST_ROWS} or more", field="rows")


async def ask_rows(
    suggester: Suggester,
    corpus: Corpus,
    tick: Tick = lambda: None,
    *,
    k: int,
    exactly: bool = False,
    explain: bool = True,
    partly: bool = False,
) -> Asked:
    """Ask the rows for up to `k` tags each, or `exactly` so many; what a memory holds of a row is not used for it. Where rows are
    labelled `partly`, tags of facets that a row has no tag of are not judged. Raises `InvalidData` that names the row for one
    that can't be asked."""
    questions = make_questions(corpus, suggester, k=k, at_most=not exactly, explain=explain)
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(question: Question) -> list[tuple[Clues, bool, float]]:
        async with slots:
            try:
                suggestion = await suggester.suggest(replace(question.request, hold_out=True, min_confidence=0.0))
            except InvalidInput as error:
                place = corpus.test.place(question.position)
                raise InvalidData(f"{place}: row {question.id!r}: {error}", field=error.field) from error
        tick()
        gold = set(question.gold)
        facets = {suggester.vocabulary.tags[tag].facet for tag in corpus.gold[question.position]}
        judged = [found for found in suggestion.tags if not partly or found.tag.facet in facets]
        return [(found.clues, found.tag.id in gold, found.confidence) for found in judged if found.clues is not None]

    tasks = [asyncio.create_task(one(question)) for question in questions]
    try:
        answered = await asyncio.gather(*tasks)
    finally:
        for left in tasks:
            left.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    confidences = [confidence for row in answered for _, _, confidence in row]
    return Asked([[(clues, right) for clues, right, _ in row] for row in answered], np.array(confidences))


def corpus_over(rows: RowFile, vocabulary: TagVocabulary | None, *, skip_bad: bool = False, known_tags: bool = False) -> Corpus:
    """The rows over a vocabulary; None: over the labels that they have themselves."""
    if vocabulary is None:
        vocabulary, _ = labels_of([rows], rows.path.name)
    return prepare(None, rows, vocabulary, skip_bad=skip_bad, known_tags=known_tags)


async def ask_corpora(
    corpora: Sequence[Corpus], load: Callable[[Path], Suggester], begin: Callable[[Corpus], Tick], **options: Any
) -> list[Asked]:
    """`ask_rows` of each corpus, by a suggester that `load` makes over a file with its vocabulary; `begin` hears of each and
    gives what ticks."""
    found = []
    with TemporaryDirectory() as folder:
        for corpus in corpora:
            file = Path(folder) / "vocabulary.jsonl"
            write_jsonl(corpus.vocabulary, file)
            suggester = load(file)
            try:
                found.append(await ask_rows(suggester, corpus, begin(corpus), **options))
            finally:
                await suggester.engine.close()
    return found


def calibrate(asked: Sequence[Asked], precision: float | None, *, unseen: bool = False) -> Calibrated:
    """The curve for one vocabulary, with the threshold for a promised `precision`. For `unseen` ones `asked` are files over
    different vocabularies, each of which is judged by the curve of the others, and nothing is promised: rows of other
    vocabularies are not exchangeable with those of the next one, so that no bound holds. Raises `InvalidData` for too few."""
    check_enough([len(each.rows) for each in asked], unseen=unseen)
    cases = Cases.of(row for each in asked for row in each.rows)
    sizes = [sum(map(len, each.rows)) for each in asked]
    fold = np.repeat(np.arange(len(asked)), sizes) if unseen else None
    fitted = fit_curve(cases, None if unseen else precision, fold)
    before = np.concatenate([each.confidences for each in asked])
    figures = {**fitted.curve.figures, "log loss, before": log_loss(before, cases.right)}
    figures |= {"ECE": calibration_error(fitted.held_out, cases.right), "ECE, before": calibration_error(before, cases.right)}
    curve = replace(fitted.curve, figures={name: round(value, DIGITS) for name, value in figures.items()})
    return Calibrated(curve, before, fitted.held_out, cases.right)


def keep(directory: Path, calibrated: Calibrated, vocabulary: str | None, *, memory: bool) -> Bundle:
    """Put the curve into the bundle in `directory`: for a vocabulary, by its hash, or None for all that have none of their own.
    Raises `InvalidBundle`."""
    bundle = Bundle.load(directory)
    evidence = MEMORY if memory else WORDS
    return write_calibration(directory, bundle.calibrations.with_curve(vocabulary or ANY, evidence, calibrated.curve))


def calibration_error(probabilities: Floats, right: Flags) -> float:
    """The expected calibration error of tags, as `eval` reports it: 15 bins of equal mass."""
    gaps = calibration_gaps(probabilities[:, None], right[:, None], np.ones((len(right), 1), np.bool_))
    return float(np.abs(gaps.sum(axis=0)).sum() / max(1, len(right)))
