"""The report of a run: every figure of every system with its interval, what was paired with what, and all that one needs to run
it again. It knows systems and scores; how a page looks is `eval.page`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.bootstrap import LEVEL, SAMPLES, SEED, Interval, Resampled, differences, intervals, resample
from eval.calibration import precision_recall, reliability
from eval.corpus import Corpus
from eval.metrics import hits_of, ndcg, precision, sizes_of
from eval.predictions import answers_of, system_of
from eval.scores import Answers, Training, scores_of, seen_only
from eval.systems import CANDIDATES, MODEL, TITLES, UNCALIBRATED, SystemRun
from hangtag.errors import InvalidData
from hangtag.files import save_json

FORMAT = 2
SKIPPED_SHOWN = 20

Report = dict[str, Any]


def make_report(corpus: Corpus, runs: Sequence[SystemRun], *, k: int, about: Mapping[str, Any]) -> Report:
    """The report as JSON's types. Every system is scored on all rows and labels ("all") and, with training rows, on those labels
    only that training has ("seen"). `about` is what the caller knows: command, inputs, times."""
    training = Training(corpus.training_labels) if corpus.train is not None else None
    counts = None if training is None else training.counts
    systems: dict[str, Any] = {}
    resampled: dict[str, dict[str, Resampled]] = {"all": {}, "seen": {}}
    seen_rows = 0
    for run in runs:
        answers = answers_of(run.predictions, corpus.vocabulary, k)
        scored = {"all": (answers, list(map(list, corpus.gold)))}
        if counts is not None:
            known, gold, rows = seen_only(answers, corpus.gold, counts)
            seen_rows = int(rows.sum())
            if seen_rows:
                scored["seen"] = (known, gold)
        entry: dict[str, Any] = {
            "title": TITLES[run.name],
            "seconds": round(run.seconds, 2),
            "rows from an earlier run": run.earlier,
            "picked": run.picked,
            "answers": system_of(run.predictions[0].key),
        }
        for part, (given, truth) in scored.items():
            drawn = resample(scores_of(given, truth, len(corpus.vocabulary), k, training))
            if run.name in UNCALIBRATED:
                drawn.points.pop("ECE"), drawn.samples.pop("ECE")
            resampled[part][run.name] = drawn
            entry[part] = _rounded(intervals(drawn))
        entry |= _curves(run, answers, corpus, k)
        systems[run.name] = entry
    return {
        "format": FORMAT,
        **about,
        "k": k,
        "rows": {
            "test": len(corpus.gold),
            "test with seen labels": seen_rows,
            "training": len(corpus.training_gold),
            "labels": len(corpus.vocabulary),
            "labels in training": None if counts is None else int((counts > 0).sum()),
        },
        "skipped": {"count": len(corpus.skipped), "first": [asdict(each) for each in corpus.skipped[:SKIPPED_SHOWN]]},
        "notes": list(corpus.notes),
        "bootstrap": {"samples": SAMPLES, "level": LEVEL, "seed": SEED, "method": "percentile over rows, paired for differences"},
        "systems": systems,
        "ids": [row.listing.id for row in corpus.test.rows],
        "differences": {
            f"{MODEL} - {name}": {
                part: _rounded(differences(drawn[MODEL], drawn[name])) for part, drawn in resampled.items() if drawn
            }
            for name in systems
            if name != MODEL and MODEL in systems
        },
    }


def write_report(report: Report, directory: Path) -> None:
    """report.json, replaced as a whole."""
    save_json(report, directory / "report.json")


def read_report(directory: Path) -> Report:
    """The report of a run in `directory`. Raises `InvalidData` for one that is missing, broken or of another version."""
    file = directory / "report.json"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidData(f"{file}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidData(f"{file}: not valid JSON: {error}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InvalidData(f"{file}: no report of this version (format {FORMAT}); run `hangtag eval run` again")
    return report


def interval_of(given: Mapping[str, float]) -> Interval:
    """An interval as a report has it."""
    return Interval(given["value"], given["low"], given["high"])


def _curves(run: SystemRun, answers: Answers, corpus: Corpus, k: int) -> dict[str, Any]:
    """Quotations, and what a page draws."""
    found: dict[str, Any] = {}
    if answers.quotes_hold is not None:
        found["explanations"] = sum(bool(prediction.explanation) for prediction in run.predictions)
        found["quotes"] = sum(prediction.quotes for prediction in run.predictions)
        found["false quotes"] = sum(prediction.false_quotes for prediction in run.predictions)
    if any(prediction.places for prediction in run.predictions):
        gold = [{corpus.vocabulary.tags[tag].id for tag in truth} for truth in corpus.gold]
        own = hits_of(gold, [prediction.own_order for prediction in run.predictions], k)
        figures = {"P@1": precision(own, 1), f"nDCG@{k}": ndcg(own, sizes_of(gold), k)}
        found["in the model's own order"] = {name: round(float(values.mean()), 6) for name, values in figures.items()}
    if passed := [tag in prediction.gold for prediction in run.predictions for tag in prediction.auto]:
        share = len(passed) / sum(len(prediction.tags) for prediction in run.predictions)
        found["auto"] = {"share": round(share, 6), "precision": round(sum(passed) / len(passed), 6)}
    if run.name == CANDIDATES:
        return found
    ranked = [[int(tag) for tag in row if tag >= 0] for row in answers.tags]
    hits = hits_of(corpus.gold, ranked, k)
    real = answers.tags >= 0
    confidences, right = answers.confidences[real], hits[real]
    wanted = sum(map(len, corpus.gold))
    found["reliability"] = [asdict(each) for each in reliability(confidences, right)]
    found["precision-recall"] = [asdict(each) for each in precision_recall(confidences, right, wanted)]
    return found


def _rounded(found: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: {key: float(np.round(value, 6)) for key, value in asdict(each).items()} for name, each in found.items()}
