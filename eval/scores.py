"""`Scores`: from a system's answers to every figure, for any weighting of the rows, so that a bootstrap is one matrix product. It
knows answers and gold tags as indexes, no file and no system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.calibration import calibration_gaps
from eval.matrix import indicator
from eval.metrics import (
    Flags,
    Floats,
    f1,
    gini,
    hits_of,
    ndcg,
    precision,
    propensities,
    recall,
    reciprocal_rank,
    scored_ndcg,
    scored_precision,
    sizes_of,
)

PLUG_IN = frozenset({"macro-F1", "coverage", "Gini", "ECE"})
"""Figures that are no mean of rows and depend on how many different rows there are: a resample is off to one side (fewer labels
come up, gaps look larger), so its distribution is moved back onto the figure itself (`eval.bootstrap`)."""

LOWER_IS_BETTER = frozenset({"ECE", "Gini"})


@dataclass(frozen=True, slots=True)
class Answers:
    """What a system answered, best first: indexes of tags and their confidences, both (rows, k). -1 is no tag. `quotes_hold` is
    1 or 0 for a row with an explanation that quotes (whether all of it stands in the listing), NaN for others, (rows,)."""

    tags: NDArray[np.int64]
    confidences: Floats
    quotes_hold: Floats | None = None


@dataclass(frozen=True)
class Training:
    """What is known of tags from training rows: a 1 for each tag of each of N rows, shape (N, T)."""

    labels: csr_array

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows that have each tag, shape (T,)."""
        counts: NDArray[np.int64] = np.asarray(self.labels.sum(axis=0)).ravel().astype(np.int64)
        return counts


@dataclass(frozen=True)
class Scores:
    """Sums over n rows from which figures follow. `means`: name -> (n,), the figure is their mean; `quotients`: name -> two of
    (n,), the figure is the quotient of their sums, NaN where that divides by 0; `given`, `gold`, `hit`: 1 where a row has a tag,
    (n, C) for the C of all `tags` that are given or gold anywhere; `gaps`: see `calibration_gaps`; `shown`: suggestions, (n,)."""

    means: dict[str, Floats]
    quotients: dict[str, tuple[Floats, Floats]]
    tags: int
    given: csr_array
    gold: csr_array
    hit: csr_array
    gaps: Floats
    shown: Floats

    def __len__(self) -> int:
        return len(self.shown)

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Every figure for each weighting: weights (B, n) >= 0, figures (B,). Weights of 1 give the figures themselves."""
        found: dict[str, Floats] = {}
        total = weights.sum(axis=1)
        for name, values in self.means.items():
            found[name] = weights @ values / total
        for name, (above, below) in self.quotients.items():
            found[name] = _quotient(weights @ above, weights @ below)
        given, gold, hit = (np.asarray(weights @ matrix) for matrix in (self.given, self.gold, self.hit))
        found["micro-F1"] = f1(hit.sum(axis=1), given.sum(axis=1), gold.sum(axis=1))
        concerned = ((given + gold) > 0).sum(axis=1)
        found["macro-F1"] = f1(hit, given, gold).sum(axis=1) / np.maximum(1, concerned)
        found["coverage"] = (given > 0).sum(axis=1) / self.tags
        found["Gini"] = gini(given, self.tags)
        found["ECE"] = _quotient(np.abs(weights @ self.gaps).sum(axis=1), weights @ self.shown)
        return found


def scores_of(answers: Answers, gold: Sequence[Sequence[int]], tags: int, k: int, training: Training | None = None) -> Scores:
    """The scores of one system over `tags` tags. Propensities and diversity need training rows; quotes need explanations."""
    ranked = [[int(tag) for tag in row if tag >= 0] for row in answers.tags[:, :k]]
    hits, sizes = hits_of(gold, ranked, k), sizes_of(gold)
    real = answers.tags[:, :k] >= 0
    means = {f"P@{depth}": precision(hits, depth) for depth in sorted({1, min(3, k), k})}
    means |= {f"R@{k}": recall(hits, sizes, k), f"nDCG@{k}": ndcg(hits, sizes, k), "MRR": reciprocal_rank(hits)}
    quotients: dict[str, tuple[Floats, Floats]] = {}
    if training is not None:
        inverse = 1 / propensities(training.counts, training.labels.shape[0])
        gains = np.zeros(hits.shape)
        gains[:, : real.shape[1]] = np.where(real, inverse[answers.tags[:, :k]], 0.0)
        gains *= hits
        best = np.zeros(hits.shape)
        for row, truth in enumerate(gold):
            ideal = np.sort(inverse[list(set(truth))])[::-1][:k]
            best[row, : len(ideal)] = ideal
        quotients |= {f"PSP@{k}": scored_precision(gains, best, k), f"PSnDCG@{k}": scored_ndcg(gains, best, sizes, k)}
        means["diversity"] = diversity(answers.tags[:, :k], training.labels)
    if answers.quotes_hold is not None:
        quoting = np.isfinite(answers.quotes_hold)
        quotients["quotes hold"] = (np.where(quoting, answers.quotes_hold, 0.0), quoting.astype(np.float64))
    concerned = np.array(sorted({tag for row in (*ranked, *gold) for tag in row}), dtype=np.int64)
    given, wanted = indicator(ranked, tags)[:, concerned], indicator(gold, tags)[:, concerned]
    gaps = calibration_gaps(answers.confidences[:, :k], hits[:, : real.shape[1]], real)
    shown = real.sum(axis=1).astype(np.float64)
    return Scores(means, quotients, tags, given, wanted, given.multiply(wanted).tocsr(), gaps, shown)


def diversity(tags: NDArray[np.int64], labels: csr_array) -> Floats:
    """Mean distance of the pairs of tags in each answer, (rows,): 1 - cosine of the sets of training rows that have them (Ziegler
    et al. 2005, intra-list similarity). Tags that no training row has are far from all others; 0 where there is no pair."""
    columns = labels.tocsc()
    norms = np.sqrt(np.maximum(1.0, np.asarray(columns.sum(axis=0)).ravel()))
    together = (columns.T @ columns).tocsr()
    near, pairs = np.zeros(len(tags)), np.zeros(len(tags))
    for first in range(tags.shape[1]):
        for second in range(first + 1, tags.shape[1]):
            left, right = tags[:, first], tags[:, second]
            both = np.flatnonzero((left >= 0) & (right >= 0))
            if not len(both):
                continue
            shared = np.asarray(together[left[both], right[both]]).ravel()
            near[both] += shared / (norms[left[both]] * norms[right[both]])
            pairs[both] += 1
    distance: Floats = np.where(pairs > 0, 1 - near / np.maximum(1, pairs), 0.0)
    return distance


def seen_only(
    answers: Answers, gold: Sequence[Sequence[int]], counts: NDArray[np.int64]
) -> tuple[Answers, list[list[int]], Flags]:
    """Answers and gold without tags that no training row has, and which rows are left: those with a gold tag left. Answers close
    up: what stood behind an unseen tag moves forward."""
    known = [[tag for tag in truth if counts[tag] > 0] for truth in gold]
    rows = np.array([bool(truth) for truth in known])
    seen = (answers.tags >= 0) & (counts[answers.tags] > 0)
    order = np.argsort(~seen, axis=1, kind="stable")
    tags = np.take_along_axis(np.where(seen, answers.tags, -1), order, axis=1)[rows]
    confidences = np.take_along_axis(answers.confidences, order, axis=1)[rows]
    holds = None if answers.quotes_hold is None else answers.quotes_hold[rows]
    return Answers(tags, confidences, holds), [truth for truth in known if truth], rows


def _quotient(above: Floats, below: Floats) -> Floats:
    quotient: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return quotient
