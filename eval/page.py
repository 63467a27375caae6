"""report.html: a run as one page that needs nothing else, for people. It knows a report, predictions and listings; rows are a
stranger's text, so everything is escaped by the template, and pieces of it are marked safe nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from eval.corpus import Corpus
from eval.metrics import hits_of, ndcg, sizes_of
from eval.plots import curve_plot, interval_plot
from eval.predictions import Prediction
from eval.report import Report, interval_of
from eval.run import QUOTATION, stands_in
from eval.scores import LOWER_IS_BETTER
from eval.systems import MODEL, SystemRun
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary

WORST = 20
SHOWN_CHARACTERS = 700
"""Of a description; the rest is not in the page."""

GROUPS = {
    "right tags": ("P@1", "P@3", "P@{k}", "R@{k}", "nDCG@{k}", "MRR", "micro-F1", "macro-F1"),
    "rare tags, breadth and confidence": ("PSP@{k}", "PSnDCG@{k}", "coverage", "Gini", "diversity", "ECE", "quotes hold"),
}
"""Two tables, so that each fits a page."""

EXPLAINED = {
    "P@": "share of the first k tags that are right",
    "R@": "share of a row's right tags that are among the first k",
    "nDCG@": "right tags, counting more the higher they stand; 1 is perfect",
    "MRR": "mean of 1 / place of the first right tag",
    "micro-F1": "precision and recall over all tags together",
    "macro-F1": "the same for each label, then averaged: rare labels count as much",
    "PSP@": "precision that counts rare tags more (propensities of Jain et al. 2016)",
    "PSnDCG@": "nDCG that counts rare tags more",
    "coverage": "share of the vocabulary that was suggested at all",
    "Gini": "how unevenly tags are suggested: 0 all alike, 1 always the same",
    "diversity": "how seldom the tags of one answer stand together in training",
    "ECE": "how far confidence is from the share that is right",
    "quotes hold": "share of explanations that quote, all of whose quotations stand in the listing",
}


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row that went badly: what a person needs to see why. `answer` holds (tag, confidence, whether it is right), `explanation`
    pieces of (text, "" or "true" or "false" for a quotation)."""

    id: str
    place: str
    listing: Listing
    description: str
    is_cut: bool
    gold: list[tuple[str, bool, bool]]
    answer: list[tuple[str, float, bool]]
    explanation: list[tuple[str, str]]
    ndcg: float


def write_page(report: Report, corpus: Corpus, runs: Sequence[SystemRun], file: Path) -> None:
    """Render the page and write it."""
    file.write_text(render(report, corpus, runs), encoding="utf-8")


def render(report: Report, corpus: Corpus, runs: Sequence[SystemRun]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["signed"] = lambda number: f"{number:+.3f}".replace("-", "−")
    k = report["k"]
    worst = next((run for run in runs if run.name == MODEL), runs[0])
    return environment.get_template("report.html.j2").render(
        report=report,
        title="/".join(corpus.test.path.resolve().parts[-2:]),
        k=k,
        model=MODEL,
        own_order="in the model's own order",
        colours={name: number for number, name in enumerate(report["systems"])},
        parts=[(part, _tables(report, part)) for part in ("all", "seen") if any(part in s for s in report["systems"].values())],
        differences=_differences(report),
        explained=_explained(report),
        plots=_plots(report),
        worst=worst_rows(corpus, worst.predictions, k),
        worst_system=worst.name,
        picked={name: system["picked"] for name, system in report["systems"].items() if system["picked"]},
    )


def worst_rows(corpus: Corpus, predictions: Sequence[Prediction], k: int, count: int = WORST) -> list[WorstRow]:
    """The rows with the lowest nDCG@k; of equals those whose first tag was wrong with the most confidence."""
    ids = [tag.id for tag in corpus.vocabulary]
    gold = [[ids[tag] for tag in truth] for truth in corpus.gold]
    hits = hits_of(gold, [prediction.tags for prediction in predictions], k)
    scores = ndcg(hits, sizes_of(gold), k)
    sure = np.array([prediction.confidences[0] if prediction.confidences else 0.0 for prediction in predictions])
    seen = corpus.training_labels.sum(axis=0) > 0 if corpus.train is not None else np.ones(len(ids), dtype=np.bool_)
    found = []
    for position in np.lexsort((-sure, scores))[:count].tolist():
        row, prediction = corpus.test.rows[position], predictions[position]
        language = row.listing.resolved_language()
        label = {tag: _label(corpus.vocabulary, tag, language) for tag in {*gold[position], *prediction.tags}}
        found.append(
            WorstRow(
                id=row.listing.id,
                place=f"{corpus.test.path.name}: line {corpus.test.lines[position]}",
                listing=row.listing,
                description=row.listing.description[:SHOWN_CHARACTERS],
                is_cut=len(row.listing.description) > SHOWN_CHARACTERS,
                gold=[
                    (label[tag], tag in prediction.tags[:k], bool(seen[corpus.vocabulary.index(tag)])) for tag in gold[position]
                ],
                answer=[
                    (label[tag], confidence, tag in gold[position])
                    for tag, confidence in zip(prediction.tags[:k], prediction.confidences, strict=False)
                ],
                explanation=_pieces(prediction.explanation, row.listing),
                ndcg=float(scores[position]),
            )
        )
    return found


def _label(vocabulary: TagVocabulary, tag: str, language: str) -> str:
    """The label as readers of the listing know it; a path where labels are shared."""
    spoken = language if vocabulary.speaks(language) else vocabulary.languages[0]
    return vocabulary.written(spoken)[vocabulary.index(tag)]


def _pieces(explanation: str, listing: Listing) -> list[tuple[str, str]]:
    pieces, end = [], 0
    for match in QUOTATION.finditer(explanation):
        pieces.append((explanation[end : match.start()], ""))
        pieces.append((match.group(), "true" if stands_in(listing, match.group(1)) else "false"))
        end = match.end()
    return [piece for piece in (*pieces, (explanation[end:], "")) if piece[0]]


def _tables(report: Report, part: str) -> list[dict[str, Any]]:
    """For each group its columns, and for each system its cells: (interval or None, whether it is the best of its column)."""
    systems = {name: system[part] for name, system in report["systems"].items() if part in system}
    tables = []
    for title, names in GROUPS.items():
        wanted = dict.fromkeys(each.format(k=report["k"]) for each in names)
        columns = [name for name in wanted if any(name in figures for figures in systems.values())]
        best = {
            name: (min if name in LOWER_IS_BETTER else max)(each[name]["value"] for each in systems.values() if name in each)
            for name in columns
        }
        rows = [
            (name, [(interval_of(each[c]), each[c]["value"] == best[c]) if c in each else (None, False) for c in columns])
            for name, each in systems.items()
        ]
        tables.append({"title": title, "columns": columns, "lower": LOWER_IS_BETTER, "rows": rows})
    return [table for table in tables if table["columns"]]


def _differences(report: Report) -> dict[str, Any]:
    """What the model gains over every other system: columns, and rows of intervals."""
    wanted = dict.fromkeys(each.format(k=report["k"]) for each in ("P@1", "P@{k}", "R@{k}", "nDCG@{k}", "PSP@{k}"))
    found = {name.removeprefix(f"{MODEL} - "): parts["all"] for name, parts in report["differences"].items()}
    columns = [name for name in wanted if any(name in figures for figures in found.values())]
    rows = [(name, [interval_of(figures[c]) if c in figures else None for c in columns]) for name, figures in found.items()]
    return {"columns": columns, "rows": rows}


def _explained(report: Report) -> list[tuple[str, str]]:
    k = str(report["k"])
    return [(f"{name}{'k' if name.endswith('@') else ''}".replace("@k", f"@{k}"), text) for name, text in EXPLAINED.items()]


def _plots(report: Report) -> list[tuple[str, Any]]:
    systems: Mapping[str, Any] = report["systems"]
    colours = {name: number for number, name in enumerate(systems)}
    depth = f"nDCG@{report['k']}"
    plots = [
        (name, interval_plot(name, {s: (colours[s], interval_of(v["all"][name])) for s, v in systems.items()}))
        for name in ("P@1", depth)
    ]
    drawn = {name: system for name, system in systems.items() if "precision-recall" in system}
    recall = max((point["recall"] for system in drawn.values() for point in system["precision-recall"]), default=1.0)
    most = min(1.0, np.ceil(recall * 10) / 10) or 1.0
    lines = {
        name: (colours[name], [(point["recall"], point["precision"]) for point in system["precision-recall"]])
        for name, system in drawn.items()
    }
    plots.append(("Precision and recall, by a threshold on confidence", curve_plot(lines, "recall", "precision", x_most=most)))
    bins = {
        name: (colours[name], [(point["confidence"], point["right"]) for point in system["reliability"]])
        for name, system in drawn.items()
    }
    plots.append(
        ("Reliability, 15 bins of equal mass", curve_plot(bins, "confidence", "share that is right", dots=True, diagonal=True))
    )
    return plots
