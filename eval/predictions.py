"""`Prediction`: what a system answered to one row, a line each in a file that an interrupted run goes on from. It knows ids, no
listing and no metric.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.scores import Answers
from hangtag.errors import InvalidData
from hangtag.vocabulary import TagVocabulary


@dataclass(frozen=True, slots=True)
class Prediction:
    """`key` is a hash over everything that decides the answer. `gold` and `tags` are ids; tags come by descending confidence. A
    system with a model also has the place of each tag in its own answer, from 1, its explanation, how many quotations are in it
    and how many of them stand nowhere, and the candidates that words alone gave; `auto` are the tags that keep a promise."""

    key: str
    id: str
    gold: tuple[str, ...]
    tags: tuple[str, ...]
    confidences: tuple[float, ...]
    explanation: str = ""
    quotes: int = 0
    false_quotes: int = 0
    candidates: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    auto: frozenset[str] = frozenset()

    @property
    def own_order(self) -> tuple[str, ...]:
        """The tags as the model wrote them; by confidence, where it wrote nothing."""
        return tuple(tag for _, tag in sorted(zip(self.places, self.tags, strict=True))) if self.places else self.tags


def key_of(system: Sequence[Any], row: Sequence[Any]) -> str:
    """A key from what decides the answers of a system (its first half, equal for all rows) and what of a row does."""
    halves = (hashlib.sha256(json.dumps(half).encode()).hexdigest()[:20] for half in (system, row))
    return "-".join(halves)


def system_of(key: str) -> str:
    """The half of a key that is equal for all rows of one system."""
    return key.partition("-")[0]


def append_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Lines more in a file that `read_predictions` reads."""
    with path.open("a", encoding="utf-8") as file:
        for prediction in predictions:
            file.write(json.dumps(_object(prediction), ensure_ascii=False) + "\n")


def read_predictions(path: Path) -> dict[str, Prediction]:
    """The predictions of an earlier run, by key; none where there is no file. A last line that an interruption cut off is
    removed from the file. Raises `InvalidData` naming the line for anything else."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    found: dict[str, Prediction] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            prediction = _prediction(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidData(f"{path}: line {number}: no prediction of this version; move the file away") from error
        found[prediction.key] = prediction
    return found


def answers_of(predictions: Sequence[Prediction], vocabulary: TagVocabulary, k: int) -> Answers:
    """The predictions as arrays; a prediction with fewer than k tags is filled up with -1."""
    tags = np.full((len(predictions), k), -1, dtype=np.int64)
    confidences = np.zeros((len(predictions), k))
    for row, prediction in enumerate(predictions):
        given = prediction.tags[:k]
        tags[row, : len(given)] = [vocabulary.index(tag) for tag in given]
        confidences[row, : len(given)] = prediction.confidences[: len(given)]
    holds = [float(prediction.false_quotes == 0) if prediction.quotes else np.nan for prediction in predictions]
    explained = any(prediction.explanation for prediction in predictions)
    return Answers(tags, confidences, np.array(holds) if explained else None)


def _object(prediction: Prediction) -> dict[str, Any]:
    pairs = zip(prediction.tags, prediction.confidences, strict=True)
    tags: list[dict[str, Any]] = [{"tag": tag, "confidence": confidence} for tag, confidence in pairs]
    required = {"key": prediction.key, "id": prediction.id, "gold": list(prediction.gold), "tags": tags}
    if not (prediction.explanation or prediction.candidates or prediction.places):
        return required
    for tag, place in zip(tags, prediction.places, strict=False):
        tag["place"] = place
    for tag in tags:
        if tag["tag"] in prediction.auto:
            tag["auto"] = True
    return required | {
        "explanation": prediction.explanation,
        "quotes": prediction.quotes,
        "false_quotes": prediction.false_quotes,
        "candidates": list(prediction.candidates),
    }


def _prediction(given: dict[str, Any]) -> Prediction:
    tags = [(str(each["tag"]), float(each["confidence"])) for each in given["tags"]]
    return Prediction(
        key=str(given["key"]),
        id=str(given["id"]),
        gold=tuple(map(str, given["gold"])),
        tags=tuple(tag for tag, _ in tags),
        confidences=tuple(confidence for _, confidence in tags),
        explanation=str(given.get("explanation", "")),
        quotes=int(given.get("quotes", 0)),
        false_quotes=int(given.get("false_quotes", 0)),
        candidates=tuple(map(str, given.get("candidates", ()))),
        places=tuple(int(each["place"]) for each in given["tags"] if "place" in each),
        auto=frozenset(str(each["tag"]) for each in given["tags"] if each.get("auto") is True),
    )
