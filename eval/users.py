"""How well what users did foretells what they do: their tags of an item, and their next game, with intervals. It knows metrics
and systems, no files and no terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.bootstrap import Interval, differences, intervals, resample_means
from eval.games import Games, Tagged, Tags, Titles, Trial, together
from eval.metrics import Floats, hits_of, ndcg, sizes_of
from eval.tag_rankers import Known, decay_errors, first_tags, rankers
from eval.taggings import Post
from serve.ranking import cosines, diversified, intra_list_diversity

K = 10
DIVERSITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """A system's figures, and what the first system has more (paired, over the same users), both by metric; the first system has
    no differences."""

    system: str
    figures: dict[str, Interval]
    first_has_more: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class DiversityCost:
    """What a `diversity` gives: the mean of 1 - likeness over the pairs of the first K, and nDCG@K."""

    diversity: float
    intra_list: float
    ndcg: float


Tick = Callable[[float], None]


def tag_figures(known: Known, last: Sequence[Post], tick: Tick = lambda share: None) -> list[Figures]:
    """nDCG@K and hit rate@K of the tags of each user's last post, system by system."""
    gold = [{known.names.get(tag, -1 - place) for place, tag in enumerate(post.tags)} for post in last]  # unseen tags count too
    systems = rankers(known)
    values: dict[str, dict[str, Floats]] = {}
    for number, (name, ranker) in enumerate(systems.items()):
        ranked: list[list[int]] = []
        for place, post in enumerate(last):
            ranked.append(first_tags(ranker(post), K))
            tick((number + place / len(last)) / len(systems))
        hits = hits_of(gold, ranked, K)
        found = np.asarray(hits.any(axis=1), dtype=np.float64)
        values[name] = {f"nDCG@{K}": ndcg(hits, sizes_of(gold), K), f"HR@{K}": found}
    return _compared(values)


def worst_decay_error(known: Known, last: Sequence[Post]) -> float:
    """The largest relative error of interests that serving carries forward, against sums over all events."""
    return max(decay_errors(known, last), default=0.0)


def game_figures(
    games: Games, tagged: Tagged, tags: int, drawn: Sequence[Trial], vectors: Callable[[Trial], Floats] | None = None
) -> list[Figures]:
    """nDCG@K, HR@1 and HR@K of the game that a user took, among the candidates of each trial; also of scores by `vectors`."""
    titles, given = Titles(games.titles), Tags(tagged, tags)
    systems: dict[str, Callable[[Trial], Floats]] = {
        "tags and titles": lambda trial: together(given.scores(trial), titles.scores(trial)),
        "titles alone (BM25)": titles.scores,
        "tags alone": given.scores,
        "chance": lambda trial: np.zeros(len(trial.candidates)),
    }
    if vectors is not None:
        systems |= {
            "vectors alone": vectors,
            "titles and vectors": lambda trial: together(titles.scores(trial), vectors(trial)),
            "tags, titles and vectors": lambda trial: together(given.scores(trial), titles.scores(trial), vectors(trial)),
        }
    values: dict[str, dict[str, Floats]] = {}
    for name, scores in systems.items():
        places = np.array([_place(np.argsort(-scores(trial), kind="stable").tolist(), trial.right) for trial in drawn])
        values[name] = {
            f"nDCG@{K}": _gain(places),
            "HR@1": (places == 0).astype(np.float64),
            f"HR@{K}": (places < K).astype(np.float64),
        }
    return _compared(values)


def diversity_costs(games: Games, tagged: Tagged, tags: int, drawn: Sequence[Trial]) -> list[DiversityCost]:
    """What diversity costs in the trials: K games of the candidates, chosen as recommendations are."""
    titles, given = Titles(games.titles), Tags(tagged, tags)
    having = np.bincount([tag for each in tagged for tag in each], minlength=tags)
    rarity = np.log((len(tagged) + 1) / (having + 1)).tolist()
    relevance, alike = [], []
    for trial in drawn:
        scores = together(given.scores(trial), titles.scores(trial))
        relevance.append(scores - scores.min())
        alike.append(cosines([list(tagged[game]) for game in trial.candidates], rarity))
    costs = []
    for diversity in DIVERSITIES:
        orders = [diversified(scores, likeness, K, diversity) for scores, likeness in zip(relevance, alike, strict=True)]
        places = np.array([_place(order, trial.right) for order, trial in zip(orders, drawn, strict=True)])
        apart = [intra_list_diversity(likeness[np.ix_(order, order)]) for order, likeness in zip(orders, alike, strict=True)]
        costs.append(DiversityCost(diversity, float(np.mean(apart)), float(_gain(places).mean())))
    return costs


def _place(order: Sequence[int], right: int) -> int:
    """Where the right one stands, from 0; at the end where it does not."""
    return order.index(right) if right in order else len(order)


def _gain(places: Floats) -> Floats:
    """nDCG@K with one right answer."""
    gains: Floats = np.where(places < K, 1 / np.log2(places + 2), 0.0)
    return gains


def _compared(values: Mapping[str, Mapping[str, Floats]]) -> list[Figures]:
    resampled = {name: resample_means(each) for name, each in values.items()}
    first = next(iter(resampled.values()))
    return [Figures(name, intervals(each), {} if each is first else differences(first, each)) for name, each in resampled.items()]
