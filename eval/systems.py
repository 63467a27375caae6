"""The systems beside the model, asked the same rows: candidates alone and every baseline, resumed from what an earlier run wrote.
It knows predictions and baselines, no figure and no terminal.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from eval import baselines
from eval.baselines import NAMES, TrainingSet
from eval.corpus import Corpus
from eval.predictions import Prediction, append_predictions, key_of, read_predictions, system_of
from hangtag.files import save_json

VERSION = 1
"""Of the baselines: raised when one of them answers otherwise, so that older predictions are not taken for new ones."""

MODEL, CANDIDATES = "hangtag", "candidates"
TITLES = {MODEL: "what is served", CANDIDATES: "words alone, untrained", **NAMES}

UNCALIBRATED = frozenset({CANDIDATES})
"""Systems whose confidence is only a place: no calibration error and no curves."""


@dataclass(frozen=True, slots=True)
class SystemRun:
    """A system's predictions in the order of the rows, the seconds that making them took in all runs (training included), and
    what it picked. `earlier` are those that an earlier run had made."""

    name: str
    predictions: Sequence[Prediction]
    seconds: float = 0.0
    earlier: int = 0
    picked: dict[str, Any] = field(default_factory=dict)


def predictions_file(directory: Path, name: str) -> Path:
    """Where a system's predictions are kept."""
    return directory / ("predictions.jsonl" if name == MODEL else f"predictions.{name}.jsonl")


def run_baseline(name: str, corpus: Corpus, k: int, directory: Path, tick: baselines.Tick) -> SystemRun:
    """Train and ask a baseline, unless its answers to all rows are there. What it picked is kept beside its predictions. Raises
    `InvalidInput` for a name that is none, or a library that is missing."""
    file, notes = predictions_file(directory, name), directory / f"picked.{name}.json"
    keys = [_key(name, corpus, k, position) for position in range(len(corpus.gold))]
    known = read_predictions(file)
    if all(key in known for key in keys):
        picked = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
        return SystemRun(name, [known[key] for key in keys], spent(directory, keys[0], 0.0), len(keys), picked)
    begun = time.monotonic()
    assert corpus.train is not None, "baselines are trained"
    training = TrainingSet([row.listing for row in corpus.train.rows], corpus.training_gold, corpus.vocabulary)
    trained = baselines.train(name, training, k, lambda share: tick(share / 2))
    ranking = trained.rank([row.listing for row in corpus.test.rows], k, lambda share: tick(0.5 + share / 2))
    ids = [tag.id for tag in corpus.vocabulary]
    predictions = [
        Prediction(
            key,
            row.listing.id,
            tuple(ids[tag] for tag in gold),
            tuple(ids[tag] for tag in tags),
            tuple(round(confidence, 6) for confidence in confidences),
        )
        for key, row, gold, tags, confidences in zip(
            keys, corpus.test.rows, corpus.gold, ranking.tags.tolist(), ranking.confidences.tolist(), strict=True
        )
    ]
    save_json(trained.picked, notes)
    append_predictions([each for each in predictions if each.key not in known], file)
    return SystemRun(name, predictions, spent(directory, keys[0], time.monotonic() - begun), 0, trained.picked)


def spent(directory: Path, key: str, seconds: float) -> float:
    """The seconds that a system has taken in all runs into this folder, `seconds` of them just now: a resumed run reports what
    all of it cost. `key` is any key of the system."""
    file = directory / "seconds.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    known[system_of(key)] = round(known.get(system_of(key), 0.0) + seconds, 2)
    save_json(known, file)
    return float(known[system_of(key)])


def candidates_alone(corpus: Corpus, answered: Sequence[Prediction], k: int, directory: Path) -> SystemRun:
    """What words alone gave for the rows that the model answered, filled up with the most frequent tags; confidence falls
    with the place, since candidates have none. The file is written anew."""
    counts = corpus.training_labels.sum(axis=0) if corpus.train is not None else [0] * len(corpus.vocabulary)
    popular = [corpus.vocabulary.tags[tag].id for tag in sorted(range(len(corpus.vocabulary)), key=lambda tag: -counts[tag])]
    predictions = []
    for prediction in answered:
        given = list(dict.fromkeys((*prediction.candidates[:k], *popular[: 2 * k])))[:k]
        confidences = tuple(1 / (place + 1) for place in range(len(given)))
        predictions.append(Prediction(prediction.key, prediction.id, prediction.gold, tuple(given), confidences))
    file = predictions_file(directory, CANDIDATES)
    file.unlink(missing_ok=True)
    append_predictions(predictions, file)
    return SystemRun(CANDIDATES, predictions)


def _key(name: str, corpus: Corpus, k: int, position: int) -> str:
    row = [repr(corpus.test.rows[position].listing), corpus.gold[position]]
    return key_of([VERSION, name, k, training_hash(corpus)], row)


@lru_cache(maxsize=2)
def training_hash(corpus: Corpus) -> str:
    """Of what baselines learn from: vocabulary, listings, tags."""
    assert corpus.train is not None
    told = [repr(row.listing) for row in corpus.train.rows]
    content = json.dumps([corpus.vocabulary.hash, told, corpus.training_gold])
    return hashlib.sha256(content.encode()).hexdigest()
