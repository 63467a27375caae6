"""Metrics of tag suggestion: rankings against gold sets, and sets against gold sets. They know no listing and no model, only
labels, and weigh every listing alike (the F1 scores: every tag given, or every label).

Throughout, G is the gold set of a listing, r_1, r_2, ... its ranking, [.] is 1 if true and 0 if not. A ranking shorter than
k counts as filled up with wrong tags. `InvalidData` is raised for numbers of rankings and gold sets that differ or are 0, a
tag that stands twice in a ranking, k below 1, and, where a metric divides by |G|, an empty gold set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidData

GoldSets = Sequence[Collection[str]]
Rankings = Sequence[Sequence[str]]


def precision_at_k(gold: GoldSets, ranked: Rankings, k: int) -> float:
    """Mean over listings of |{r_1..r_k} ∩ G| / k (Manning, Raghavan & Schütze 2008, section 8.4)."""
    return float(_hits(gold, ranked, k).mean())


def recall_at_k(gold: GoldSets, ranked: Rankings, k: int) -> float:
    """Mean over listings of |{r_1..r_k} ∩ G| / |G| (Manning, Raghavan & Schütze 2008, section 8.4)."""
    return float((_hits(gold, ranked, k).sum(axis=1) / _sizes(gold)).mean())


def ndcg_at_k(gold: GoldSets, ranked: Rankings, k: int) -> float:
    """Mean over listings of DCG / ideal DCG, with DCG = sum over i = 1..k of [r_i in G] / log2(i + 1), and the ideal that of
    min(k, |G|) hits in front (Järvelin & Kekäläinen 2002, with gains of 0 and 1)."""
    discounts = 1 / np.log2(np.arange(k) + 2)
    ideal = np.cumsum(discounts)
    return float((_hits(gold, ranked, k) @ discounts / ideal[np.minimum(_sizes(gold), k) - 1]).mean())


def mean_reciprocal_rank(gold: GoldSets, ranked: Rankings) -> float:
    """Mean over listings of 1 / i for the first r_i in G, 0 if there is none (Voorhees 1999)."""
    hits = _hits(gold, ranked, max([1, *map(len, ranked)]))
    _sizes(gold)
    return float((hits.any(axis=1) / (hits.argmax(axis=1) + 1)).mean())


def micro_f1(gold: GoldSets, given: Rankings) -> float:
    """2 TP / (2 TP + FP + FN), counted over all listings and labels together (Manning, Raghavan & Schütze 2008, section
    13.6); `given` are whole answers, in any order. 0 where nothing is gold and nothing given."""
    true, false, missed = _counts(gold, given)
    return _f1(true.total(), false.total() + missed.total())


def macro_f1(gold: GoldSets, given: Rankings) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the labels that are gold or given anywhere: rare labels count as much as frequent
    ones (the mean of F1 scores, the first form in Opitz & Burst 2019). 0 where there are none."""
    true, false, missed = _counts(gold, given)
    labels = {*true, *false, *missed}
    return sum(_f1(true[label], false[label] + missed[label]) for label in labels) / max(1, len(labels))


def _f1(true: int, wrong: int) -> float:
    return 2 * true / (2 * true + wrong) if true else 0.0


def _check(gold: GoldSets, ranked: Rankings) -> None:
    if len(gold) != len(ranked) or not gold:
        raise InvalidData(f"{len(ranked)} rankings for {len(gold)} gold sets; give one each, and at least one")
    for position, ranking in enumerate(ranked):
        if len(set(ranking)) != len(ranking):
            raise InvalidData(f"ranking {position + 1} has a tag twice: {max(ranking, key=ranking.count)!r}")


def _hits(gold: GoldSets, ranked: Rankings, k: int) -> NDArray[np.bool_]:
    """[r_i in G], a row for each listing and k columns."""
    _check(gold, ranked)
    if k < 1:
        raise InvalidData(f"k is {k}, it must be at least 1")
    hits = np.zeros((len(gold), k), dtype=np.bool_)
    for row, (truth, ranking) in enumerate(zip(gold, ranked, strict=True)):
        wanted = set(truth)
        hits[row, : len(ranking)] = [tag in wanted for tag in ranking[:k]]
    return hits


def _sizes(gold: GoldSets) -> NDArray[np.int64]:
    sizes = np.array([len(set(truth)) for truth in gold], dtype=np.int64)
    if not sizes.all():
        raise InvalidData(f"gold set {int(sizes.argmin()) + 1} is empty; leave the listing out")
    return sizes


def _counts(gold: GoldSets, given: Rankings) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How often each label was given rightly, given wrongly, and not given."""
    _check(gold, given)
    true: Counter[str] = Counter()
    false: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for truth, answer in zip(gold, given, strict=True):
        wanted, said = set(truth), set(answer)
        true.update(wanted & said)
        false.update(said - wanted)
        missed.update(wanted - said)
    return true, false, missed
