"""Two runs side by side: paired differences on the rows that both answered. It knows reports and predictions, no system and no
terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from eval.bootstrap import Interval, Resampled, differences, resample
from eval.corpus import Corpus
from eval.predictions import Prediction, answers_of, read_predictions, system_of
from eval.report import read_report
from eval.scores import LOWER_IS_BETTER, Training, scores_of
from eval.systems import MODEL, UNCALIBRATED, predictions_file
from hangtag.errors import InvalidData
from hangtag.formats import read_vocabulary, write_jsonl
from hangtag.vocabulary import TagVocabulary

VOCABULARY, TRAINING = "vocabulary.jsonl", "training.npz"
"""What a run leaves beside its report so that it can be compared: its tags in order, and which training row has which."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the first run, the same of the second, and the first less the second."""

    name: str
    first: float
    second: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """Which is better, if the interval leaves 0 out."""
        if not self.difference.is_real:
            return "no real difference"
        return "first" if (self.difference.value > 0) != (self.name in LOWER_IS_BETTER) else "second"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures that both runs have, over `rows` shared rows; the rows that only one of them has are counted."""

    figures: list[Compared]
    rows: int
    only_first: int
    only_second: int


def keep_for_comparison(corpus: Corpus, directory: Path) -> None:
    """Write what `compare` reads beside report and predictions."""
    write_jsonl(corpus.vocabulary, directory / VOCABULARY)
    labels = corpus.training_labels
    np.savez_compressed(directory / TRAINING, indices=labels.indices, indptr=labels.indptr, tags=labels.shape[1])


def compare(first: str, second: str) -> Comparison:
    """Two runs, each the folder of a report or "FOLDER:SYSTEM" (hangtag, if none is said). Raises `InvalidData` for runs with
    another k, rows whose gold tags differ, and no row in common."""
    one, two = _Side.read(first), _Side.read(second)
    if one.k != two.k:
        raise InvalidData(f"{first} gave {one.k} tags a row and {second} {two.k}; run one of them again with the same --k")
    shared = [id for id in one.predictions if id in two.predictions]
    if not shared:
        raise InvalidData(f"{first} and {second} have no row in common")
    for id in shared:
        if set(one.predictions[id].gold) != set(two.predictions[id].gold):
            raise InvalidData(f"the row {id!r} has other gold tags in {first} than in {second}: they can't be compared")
    ours, theirs = one.resampled(shared), two.resampled(shared)
    figures = [
        Compared(name, ours.points[name], theirs.points[name], difference)
        for name, difference in differences(ours, theirs).items()
        if name != "ECE" or UNCALIBRATED.isdisjoint((one.system, two.system))
    ]
    return Comparison(figures, len(shared), len(one.predictions) - len(shared), len(two.predictions) - len(shared))


@dataclass(frozen=True, slots=True)
class _Side:
    directory: Path
    system: str
    k: int
    predictions: dict[str, Prediction]
    vocabulary: TagVocabulary

    @classmethod
    def read(cls, name: str) -> _Side:
        directory, system = _named(name)
        report = read_report(directory)
        if system not in report["systems"]:
            raise InvalidData(f"{directory}: the report has no system {system!r}; it has {', '.join(report['systems'])}")
        ids, made = set(report["ids"]), report["systems"][system]["answers"]
        known = read_predictions(predictions_file(directory, system)).values()
        found = {each.id: each for each in known if each.id in ids and system_of(each.key) == made}
        if len(found) < len(ids):
            raise InvalidData(f"{directory}: {len(ids) - len(found)} predictions of {system} are missing; run it again")
        return cls(directory, system, report["k"], found, read_vocabulary(directory / VOCABULARY))

    def resampled(self, ids: list[str]) -> Resampled:
        """The scores over some rows, in this order."""
        predictions = [self.predictions[id] for id in ids]
        gold = [[self.vocabulary.index(tag) for tag in prediction.gold] for prediction in predictions]
        answers = answers_of(predictions, self.vocabulary, self.k)
        return resample(scores_of(answers, gold, len(self.vocabulary), self.k, self._training()))

    def _training(self) -> Training | None:
        try:
            with np.load(self.directory / TRAINING, allow_pickle=False) as kept:
                indices, indptr, tags = kept["indices"], kept["indptr"], int(kept["tags"])
            labels = csr_array((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=(len(indptr) - 1, tags))
        except (OSError, ValueError, KeyError) as error:
            raise InvalidData(f"{self.directory / TRAINING}: can't be read; run it again") from error
        return Training(labels) if labels.shape[0] else None


def _named(name: str) -> tuple[Path, str]:
    directory, colon, system = name.rpartition(":")
    if colon and not Path(name).is_dir():
        return Path(directory), system
    return Path(name), MODEL
