"""Which of twenty games a user buys next: histories and titles, read from a folder that a user names, and systems that rank the
twenty by tags and by titles. It knows no metric and no model; tags of titles are given to it.
"""

from __future__ import annotations

import html
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.feature_extraction.text import CountVectorizer

from eval.separated import read_columns
from hangtag.decay import DECAY
from hangtag.errors import InvalidData
from serve.pieces import pieces

HISTORIES, TITLES = "Games-6k.valid.inter.gz", "Games.item.gz"
CANDIDATES = 20
LATEST = 50
"""Games of a history that are looked at, the latest."""

SATURATION, LENGTH = 1.2, 0.75
"""BM25's k1 and b (Robertson & Zaragoza 2009)."""

SEED = 7

Floats = NDArray[np.float64]
Tagged = Sequence[Mapping[int, float]]
"""For each game by number: its tags by number, and how sure they are."""


@dataclass(frozen=True, slots=True)
class Games:
    """Titles by number, and for each user what they had, in order, and what they took next."""

    titles: list[str]
    histories: list[tuple[list[int], int]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A user's latest games, in order, CANDIDATES games in random order, and at which place the right one stands."""

    history: tuple[int, ...]
    candidates: tuple[int, ...]
    right: int


def read_games(directory: Path) -> Games:
    """LLMRank's `Games.item.gz` (id, title) and `Games-6k.valid.inter.gz` (user, ids of what they had, id of the next).
    Raises `InvalidData` naming file and line."""
    titles: list[str] = []
    for place, (id, title) in read_columns(directory / TITLES, 2):
        if id != str(len(titles)):
            raise InvalidData(f"{place}: the id {id!r} where {len(titles)} was expected")
        titles.append(html.unescape(title).strip())
    histories = []
    for place, (_, had, following) in read_columns(directory / HISTORIES, 3):
        try:
            items = [int(item) for item in (*had.split(), following)]
        except ValueError as error:
            raise InvalidData(f"{place}: {error}") from error
        if not all(0 <= item < len(titles) for item in items):
            raise InvalidData(f"{place}: an id that {TITLES} does not have")
        histories.append((items[:-1], items[-1]))
    return Games(titles, histories)


def trials(games: Games, users: int, *, skipped: int = 0) -> list[Trial]:
    """A trial for each of `users` users, drawn at random but the same every time, after `skipped` others. Games without a title
    are neither right nor offered."""
    chance = random.Random(SEED)
    titled = [number for number, title in enumerate(games.titles) if title]
    drawn = [history for history in games.histories if games.titles[history[1]]]
    chance.shuffle(drawn)
    made = []
    for had, following in drawn[: skipped + users]:
        known, candidates = {*had, following}, [following]
        while len(candidates) < CANDIDATES:
            if (other := chance.choice(titled)) not in known:
                known.add(other)
                candidates.append(other)
        chance.shuffle(candidates)
        made.append(Trial(tuple(had[-LATEST:]), tuple(candidates), candidates.index(following)))
    return made[skipped:]


def fading(history: Sequence[int]) -> Floats:
    """(games,): what each counts; they have an order, and no times."""
    weights: Floats = np.arange(len(history), 0, -1, dtype=np.float64) ** -DECAY
    return weights


class Titles:
    """Titles under BM25: words of the history ask for a game's title. Words are stemmed as candidates stem them."""

    def __init__(self, titles: Sequence[str]) -> None:
        counts = csr_array(CountVectorizer(analyzer=pieces, dtype=np.float64).fit_transform(titles))
        having = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log1p((len(titles) - having + 0.5) / (having + 0.5))
        length = counts.sum(axis=1)
        owner = np.repeat(np.arange(len(titles)), np.diff(counts.indptr))
        damped = SATURATION * (1 - LENGTH + LENGTH * length / length.mean())[owner]
        self._asked = counts
        self._found = csr_array(
            (counts.data * (SATURATION + 1) / (counts.data + damped), counts.indices, counts.indptr), counts.shape
        )
        self._found = self._found @ diags_array(rarity)

    def scores(self, trial: Trial) -> Floats:
        """(CANDIDATES,)."""
        asked = self._asked[list(trial.history)].sum(axis=0)
        scores: Floats = self._found[list(trial.candidates)] @ np.asarray(asked)
        return scores


class Tags:
    """Games by tags, each tag of the history counting by its sureness, its rarity and how long ago it was."""

    def __init__(self, tagged: Tagged, tags: int) -> None:
        owner = np.repeat(np.arange(len(tagged)), [len(each) for each in tagged])
        columns = np.array([tag for each in tagged for tag in each], dtype=np.int64)
        sureness = np.array([sure for each in tagged for sure in each.values()])
        self._given = csr_array((sureness, (owner, columns)), shape=(len(tagged), tags))
        having = np.bincount(columns, minlength=tags)
        known = max(1, sum(1 for each in tagged if each))
        rarity = np.log((known + 1) / (having + 1))
        sizes = np.maximum(np.asarray(self._given.sum(axis=1)).ravel(), 1.0)
        self._telling = diags_array(sizes**-0.5) @ self._given @ diags_array(rarity)

    def scores(self, trial: Trial) -> Floats:
        """(CANDIDATES,)."""
        interests = fading(trial.history) @ self._given[list(trial.history)]
        scores: Floats = self._telling[list(trial.candidates)] @ interests
        return scores


def together(*parts: Floats) -> Floats:
    """The sum of scores, each in units of its spread over the candidates."""
    return np.asarray(sum((part - part.mean()) / max(float(part.std()), 1e-9) for part in parts), dtype=np.float64)
