"""Metrics of tag suggestion, row by row: rankings against gold sets. They know no listing and no model; how rows become one
figure with an interval is `eval.scores`.

Throughout, G is the gold set of a row, r_1, r_2, ... its ranking, [.] is 1 if true and 0 if not. `hits` has shape (rows, K) and
holds [r_i in G]; `sizes` has shape (rows,) and holds |G|, at least 1. A ranking shorter than k counts as filled up with wrong
tags. `InvalidData` is raised for numbers of rankings and gold sets that differ or are 0, a tag that stands twice in a ranking,
k below 1, and an empty gold set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidData

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Sizes = NDArray[np.int64]

PROPENSITY_A, PROPENSITY_B = 0.55, 1.5
"""Of Jain, Prabhu & Varma 2016 (Extreme Multi-label Loss Functions), for data sets other than Wikipedia's and Amazon's."""


def hits_of(gold: Sequence[Collection[Hashable]], ranked: Sequence[Sequence[Hashable]], k: int) -> Flags:
    """[r_i in G], shape (rows, k)."""
    if len(gold) != len(ranked) or not gold:
        raise InvalidData(f"{len(ranked)} rankings for {len(gold)} gold sets; give one each, and at least one")
    if k < 1:
        raise InvalidData(f"k is {k}, it must be at least 1")
    hits = np.zeros((len(gold), k), dtype=np.bool_)
    for row, (truth, ranking) in enumerate(zip(gold, ranked, strict=True)):
        if len(set(ranking)) != len(ranking):
            raise InvalidData(f"ranking {row + 1} has a tag twice: {max(ranking, key=ranking.count)!r}")
        wanted = set(truth)
        hits[row, : len(ranking)] = [tag in wanted for tag in ranking[:k]]
    return hits


def sizes_of(gold: Sequence[Collection[Hashable]]) -> Sizes:
    """|G|, shape (rows,)."""
    sizes = np.array([len(set(truth)) for truth in gold], dtype=np.int64)
    if not sizes.all():
        raise InvalidData(f"gold set {int(sizes.argmin()) + 1} is empty; leave the row out")
    return sizes


def precision(hits: Flags, k: int) -> Floats:
    """|{r_1..r_k} ∩ G| / k (Manning, Raghavan & Schütze 2008, section 8.4)."""
    shares: Floats = hits[:, :k].sum(axis=1) / k
    return shares


def recall(hits: Flags, sizes: Sizes, k: int) -> Floats:
    """|{r_1..r_k} ∩ G| / |G| (Manning, Raghavan & Schütze 2008, section 8.4)."""
    shares: Floats = hits[:, :k].sum(axis=1) / sizes
    return shares


def ndcg(hits: Flags, sizes: Sizes, k: int) -> Floats:
    """DCG / ideal DCG, with DCG = sum over i = 1..k of [r_i in G] / log2(i + 1), and the ideal that of min(k, |G|) hits in front
    (Järvelin & Kekäläinen 2002, with gains of 0 and 1)."""
    discounts = discounts_to(k)
    ideal = np.cumsum(discounts)[np.minimum(sizes, k) - 1]
    gained: Floats = hits[:, :k] @ discounts[: hits.shape[1]] / ideal
    return gained


def reciprocal_rank(hits: Flags) -> Floats:
    """1 / i for the first r_i in G, 0 if there is none (Voorhees 1999)."""
    found: Floats = hits.any(axis=1) / (hits.argmax(axis=1) + 1)
    return found


def propensities(counts: NDArray[np.int64], rows: int) -> Floats:
    """How likely a true tag was ever noted, by how many of the N training rows have it: 1 / (1 + C * (N_l + B) ** -A) with
    C = (ln N - 1) * (B + 1) ** A (Jain, Prabhu & Varma 2016); 1 throughout for N below e. Shape of `counts`."""
    c = max(0.0, np.log(rows) - 1) * (PROPENSITY_B + 1) ** PROPENSITY_A if rows > 0 else 0.0
    propensity: Floats = 1 / (1 + c * (counts + PROPENSITY_B) ** -PROPENSITY_A)
    return propensity


def scored_precision(gains: Floats, best: Floats, k: int) -> tuple[Floats, Floats]:
    """What PSP@k is the quotient of, summed over rows: sum over i = 1..k of [r_i in G] / p(r_i), and the most that any ranking
    could have (Jain, Prabhu & Varma 2016; the quotient is how published tables give it, so that 1 is perfect).
    `gains` are [r_i in G] / p(r_i), shape (rows, K); `best` those of the gold tags in descending order, 0 beyond, (rows, K)."""
    return gains[:, :k].sum(axis=1) / k, best[:, :k].sum(axis=1) / k


def scored_ndcg(gains: Floats, best: Floats, sizes: Sizes, k: int) -> tuple[Floats, Floats]:
    """What PSnDCG@k is the quotient of, summed over rows: the same as `scored_precision` with gains divided by log2(i + 1) and
    each row by the sum of 1 / log2(i + 1) over i = 1..min(k, |G|) (Jain, Prabhu & Varma 2016)."""
    discounts = discounts_to(k)
    ideal = np.cumsum(discounts)[np.minimum(sizes, k) - 1]
    return gains[:, :k] @ discounts[: gains.shape[1]] / ideal, best[:, :k] @ discounts[: best.shape[1]] / ideal


def discounts_to(k: int) -> Floats:
    """1 / log2(i + 1) for i = 1..k."""
    discounts: Floats = 1 / np.log2(np.arange(k) + 2.0)
    return discounts


def f1(true: Floats, given: Floats, gold: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN) = 2 TP / (given + gold) elementwise; 0 where nothing is gold and nothing given."""
    total = given + gold
    score: Floats = np.divide(2 * true, total, out=np.zeros_like(total, dtype=np.float64), where=total > 0)
    return score


def gini(counts: Floats, tags: int) -> Floats:
    """The Gini coefficient of how often each of `tags` tags was given: 0 if all equally often, towards 1 if always the same few;
    sum over i of (2 i - T - 1) x_i / (T * sum of x), x ascending (Fleder & Hosanagar 2009). `counts` has shape (..., C), C <= T,
    and the tags that are not in it count 0. 0 where nothing was given."""
    ordered = np.sort(counts, axis=-1)
    ranks = np.arange(tags - ordered.shape[-1], tags) + 1.0
    total = ordered.sum(axis=-1)
    uneven = ordered @ (2 * ranks - tags - 1)
    coefficient: Floats = np.divide(uneven, tags * total, out=np.zeros_like(total, dtype=np.float64), where=total > 0)
    return coefficient


def micro_f1(gold: Sequence[Collection[str]], given: Sequence[Sequence[str]]) -> float:
    """2 TP / (2 TP + FP + FN), counted over all rows and labels together (Manning, Raghavan & Schütze 2008, section 13.6);
    `given` are whole answers, in any order; gold sets may be empty. 0 where nothing is gold and nothing given."""
    hits = hits_of(gold, given, max([1, *map(len, given)]))
    wanted, said = sum(len(set(truth)) for truth in gold), sum(map(len, given))
    return float(f1(np.array([hits.sum()]), np.array([float(said)]), np.array([float(wanted)]))[0])


def macro_f1(gold: Sequence[Collection[str]], given: Sequence[Sequence[str]]) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the labels that are gold or given anywhere: rare labels count as much as frequent
    ones (the mean of F1 scores, the first form in Opitz & Burst 2019). 0 where there are none."""
    hits_of(gold, given, 1)  # checks
    true: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for truth, answer in zip(gold, given, strict=True):
        true.update(set(truth) & set(answer))
        total.update([*set(truth), *answer])
    return sum(2 * true[label] / count for label, count in total.items()) / max(1, len(total))
