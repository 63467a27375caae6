"""How far to trust a memory, found by leaving out one remembered listing after another and its product with it. It knows how a
trust is judged, not how evidence is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hangtag.calibration import PRECISION, Calibration, Clues
from hangtag.errors import InvalidData
from serve.calibrating import Cases, fit_curve
from serve.candidates import Candidate, Candidates
from serve.memory.evidence import COLUMNS, Evidence, StatedRates
from serve.memory.index import Entry
from serve.memory.memory import FLOOR, MOST_CERTAIN, Memory
from serve.memory.trust import DEFAULT, Trust, fit_weights

MOST_LISTINGS = 1_500
"""Held out, one at a time; more make the weights hardly better."""

FEWEST_LISTINGS = 10
"""With fewer the defaults stay: two or three listings fit anything."""

FOR_LETTERS = 500
"""Of these, how many judge the share of letters."""

LETTERS = (0.0, 0.15, 0.3, 0.5)
UNFAMILIAR = 0.1
"""Share of the remembered listings that are least like the others."""

FOLDS = 5
K = 5

Floats = NDArray[np.float64]
Case = tuple[Evidence, NDArray[np.bool_], int]
"""A listing's evidence, which of the tags were right, and how many right ones there are in all."""

Tick = Callable[[float], None]


def fit(memory: Memory, candidates: Candidates, tick: Tick = lambda share: None, *, limit: int = MOST_LISTINGS) -> Trust:
    """Fit the memory's trust to the listings it holds, and use and keep it from now on. `candidates` are over the memory's
    vocabulary; `tick` hears the share that is done. With fewer than FEWEST_LISTINGS, or where no evidence is found, the
    defaults stay."""
    entries = [entry for entry in memory.sample(limit) if memory.numbers(entry.tags)]
    if len(entries) < FEWEST_LISTINGS:
        memory.use(DEFAULT)
        return DEFAULT
    words: list[list[Candidate]] = []
    for place, entry in enumerate(entries):
        words.append(candidates.find(entry.listing))
        tick(0.4 * place / len(entries))
    memory.use(replace(DEFAULT, stated=_stated(memory, entries, words)), keep=False)
    some = list(zip(entries, words, strict=True))[:FOR_LETTERS]
    scores: list[Floats] = []
    for place, letters in enumerate(LETTERS):
        memory.use(replace(memory.trust, letters=letters), keep=False)
        cases = [_case(memory, entry, found) for entry, found in some]
        scores.append(_ndcgs(_held_out(cases)))
        tick(0.4 + 0.2 * place / len(LETTERS))
    memory.use(replace(memory.trust, letters=_fewest_letters(scores)), keep=False)
    cases = []
    for place, (entry, found) in enumerate(zip(entries, words, strict=True)):
        cases.append(_case(memory, entry, found))
        tick(0.6 + 0.4 * place / len(entries))
    if not any(len(evidence.tags) for evidence, _, _ in cases):
        memory.use(DEFAULT)
        return DEFAULT
    bias, weights = _fitted(cases)
    held = _held_out(cases)
    enough, f1 = _enough(held)
    figures = {**_figures(cases, held), "micro-F1, as many as fit": round(f1, 4)}
    trust = replace(memory.trust, bias=bias, weights=weights, enough=enough, usual=_usual(cases), curve=_curve(held))
    trust = replace(trust, fitted_on=len(cases), figures=figures)
    memory.use(trust)
    return trust


def _fewest_letters(scores: Sequence[Floats]) -> float:
    """The smallest of LETTERS that is as good as the best, given what each one scored for the same listings: within half a
    standard error of the difference."""
    best = max(scores, key=lambda each: each.mean())
    enough = ((best - each).mean() <= (best - each).std() / len(best) ** 0.5 / 2 for each in scores)
    return next(letters for letters, is_enough in zip(LETTERS, enough, strict=True) if is_enough)


def _stated(memory: Memory, entries: Sequence[Entry], words: Sequence[Sequence[Candidate]]) -> StatedRates:
    stated: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for entry, found in zip(entries, words, strict=True):
        names = [memory.vocabulary.tags[candidate.tag].id for candidate in found if candidate.stated]
        stated.update(names)
        given.update(set(names) & set(entry.tags))
    return StatedRates({tag: (given[tag], count) for tag, count in stated.items()})


def _case(memory: Memory, entry: Entry, words: Sequence[Candidate]) -> Case:
    evidence = memory.evidence(entry.listing, words, entry)
    right = memory.numbers(entry.tags)
    return evidence, np.isin(evidence.tags, right), len(right)


def _fitted(cases: Sequence[Case]) -> tuple[float, dict[str, float]]:
    table = np.concatenate([evidence.table for evidence, _, _ in cases])
    return fit_weights(table, np.concatenate([right for _, right, _ in cases]), DEFAULT)


def _held_out(cases: Sequence[Case]) -> list[tuple[Case, Floats]]:
    """The logits of listings held out of both memory and weights."""
    ranked: list[tuple[Case, Floats]] = []
    for fold in range(FOLDS):
        held = cases[fold::FOLDS]
        rest = [case for place, case in enumerate(cases) if place % FOLDS != fold]
        if rest and held:
            bias, weights = _fitted(rest)
            trust = Trust(bias, weights, usual=_usual(rest))
            ranked += [(case, trust.logits(case[0])) for case in held]
    return ranked


def _usual(cases: Sequence[Case]) -> float:
    """How much neighbours explain of all but the UNFAMILIAR listings. Weights that were fitted to the memory say nothing of
    listings like none in it: a shop that has tagged its backpacks only would call a shirt an accessory."""
    return float(np.quantile([evidence.covered for evidence, _, _ in cases], UNFAMILIAR))


def _enough(held: Sequence[tuple[Case, Floats]]) -> tuple[float, float]:
    """The logit from which on tags have to be suggested for the best micro-F1, and that F1."""
    logits = np.concatenate([logits for _, logits in held])
    right = np.concatenate([right for (_, right, _), _ in held])
    order = np.argsort(-logits, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + sum(count for (_, _, count), _ in held))
    best = int(np.argmax(f1))
    return float(logits[order[best]]), float(f1[best])


def _curve(held: Sequence[tuple[Case, Floats]]) -> Calibration | None:
    """From the logits of the K likeliest tags of each listing, which are what is suggested, to the share of them that is right.
    None where there is too little to tell."""
    rows = []
    for (_, right, _), logits in held:
        best = np.argsort(-logits, kind="stable")[:K].tolist()
        known = np.clip(logits[best], FLOOR, MOST_CERTAIN).tolist()
        rows.append([(Clues(0.0, rank, known[rank - 1]), bool(right[tag])) for rank, tag in enumerate(best, start=1)])
    try:
        return fit_curve(Cases.of(rows), PRECISION).curve
    except InvalidData:
        return None


def _figures(cases: Sequence[Case], held: list[tuple[Case, Floats]]) -> dict[str, float]:
    """nDCG@5 and P@1 of listings held out of both memory and weights, beside columns alone."""
    systems = {"fitted": held}
    for name, column in (("ridge alone", "ridge"), ("votes alone", "log vote"), ("words alone", "word")):
        systems[name] = [(case, case[0].table[:, COLUMNS.index(column)]) for case in cases]
    figures = {}
    for name, system in systems.items():
        figures[f"nDCG@{K}, {name}"] = round(_ndcg(system), 4)
        figures[f"P@1, {name}"] = round(_first_right(system), 4)
    return figures


def _ndcg(ranked: Sequence[tuple[Case, Floats]]) -> float:
    return float(_ndcgs(ranked).mean())


def _ndcgs(ranked: Sequence[tuple[Case, Floats]]) -> Floats:
    """DCG@K by ideal DCG@K of each listing; see `eval.metrics`."""
    discounts = 1 / np.log2(np.arange(K) + 2)
    found = []
    for (_, right, count), scores in ranked:
        hits = right[np.argsort(-scores, kind="stable")[:K]]
        found.append(float(hits @ discounts[: len(hits)]) / float(discounts[: min(count, K)].sum()))
    return np.array(found)


def _first_right(ranked: Sequence[tuple[Case, Floats]]) -> float:
    return sum(bool(right[np.argmax(scores)]) for (_, right, _), scores in ranked if len(right)) / max(1, len(ranked))
