"""omikuji: Parabel's balanced label trees (Prabhu et al. 2018), as libraries of catalogues use them. It knows features and the
library's file format, no model.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.baselines import Ranking, Tick, TrainingSet, pick, ranked
from eval.features import Features, recipes_for
from hangtag.errors import InvalidInput
from hangtag.listing import Listing

BRANCHES = (100, 1000)
"""Tags below which a tree splits no further: omikuji's default, and shallower trees, which sparse sets like."""

BEAM = 30
"""Paths followed in each tree; the library's default of 10 is made for larger vocabularies and costs accuracy."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Which features, and the smallest branch that is split."""

    recipe: str
    branch: int = BRANCHES[0]


class Omikuji:
    """Three trees with hinge loss, the defaults; confidence is the score of the library. Its clustering starts at random and
    takes no seed, so figures differ by some tenths of a percent from run to run."""

    def __init__(self, training: TrainingSet, setting: Setting) -> None:
        try:
            import omikuji
        except ImportError as error:
            raise InvalidInput(
                "the baseline omikuji needs the extra `eval`: pip install 'hangtag[eval]'", field="baselines"
            ) from error
        self._features, features = Features.fit(setting.recipe, training.listings)
        self._training = training
        self.picked: dict[str, Any] = {}
        parameters = omikuji.Model.default_hyper_param()
        parameters.min_branch_size = setting.branch
        with tempfile.TemporaryDirectory() as directory, _silence():
            file = Path(directory) / "training.txt"
            file.write_text("".join(_lines(features, training)), encoding="ascii")
            self._model = omikuji.Model.train_on_data(str(file), parameters, n_threads=os.cpu_count())

    @classmethod
    def train(cls, training: TrainingSet, k: int, tick: Tick) -> Omikuji:
        """With the features and then the size of branches that are best on held-out training rows."""
        setting, tried = pick(training, [Setting(recipe) for recipe in recipes_for(training.listings)], cls, k, tick)
        setting, finer = pick(training, [Setting(setting.recipe, branch) for branch in BRANCHES], cls, k, tick)
        trained = cls(training, setting)
        trained.picked = {
            "features": setting.recipe,
            "smallest branch": setting.branch,
            "trees": 3,
            "loss": "hinge",
            "beam": BEAM,
            "tried (nDCG)": {each.recipe: round(score, 4) for each, score in tried}
            | {f"smallest branch {each.branch}": round(score, 4) for each, score in finer},
        }
        return trained

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """See `eval.baselines.Baseline`."""
        return ranked(listings, k, self._training, tick, lambda some: self._scores(some, k))

    def _scores(self, listings: Sequence[Listing], k: int) -> NDArray[np.float32]:
        features = _sorted(self._features(listings))
        scores = np.zeros((len(listings), len(self._training.vocabulary)), dtype=np.float32)
        for row in range(len(listings)):
            start, end = features.indptr[row : row + 2]
            pairs = list(zip(features.indices[start:end].tolist(), features.data[start:end].tolist(), strict=True))
            for tag, score in self._model.predict(pairs, beam_size=BEAM, top_k=min(k, scores.shape[1])) if pairs else []:
                scores[row, tag] = max(score, np.finfo(np.float32).tiny)
        return scores


def _lines(features: csr_array, training: TrainingSet) -> Iterator[str]:
    """The format of the extreme classification repository: "rows features labels", then "label,label feature:value ..."."""
    ordered = _sorted(features)
    filled = [row for row in range(ordered.shape[0]) if ordered.indptr[row] < ordered.indptr[row + 1]]
    yield f"{len(filled)} {ordered.shape[1]} {len(training.vocabulary)}\n"
    for row in filled:
        start, end = ordered.indptr[row : row + 2]
        pairs = zip(ordered.indices[start:end].tolist(), ordered.data[start:end].tolist(), strict=True)
        yield f"{','.join(map(str, sorted(set(training.gold[row]))))} {' '.join(f'{f}:{v:.6g}' for f, v in pairs)}\n"


def _sorted(features: csr_array) -> csr_array:
    ordered = features.tocsr().copy()
    ordered.sort_indices()
    return ordered


@contextmanager
def _silence() -> Iterator[None]:
    """The library writes its log to stdout and its bars to stderr, below Python."""
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    with open(os.devnull, "wb") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            for descriptor, before in zip((1, 2), saved, strict=True):
                os.dup2(before, descriptor)
                os.close(before)
