"""`Confidence`: how sure an answer's tags are, and which calibration says so. It knows evidence by tag and what the decoder found
likely; it finds neither.

One rule says which calibration is used:

- with a memory, the bundle's curve for this vocabulary with a memory, else, unless the model knows the vocabulary itself and the
  memory does not lead, the memory's own curve, which needs no model;
- without one, the bundle's curve for this vocabulary, else its curve for any that it was not trained on.

Where none of these is there, confidences are not calibrated: they are the memory's estimates where it leads and for a vocabulary
that the model never saw, else the probability of a tag's path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hangtag.answer import AnswerCodec
from hangtag.bundle import Bundle
from hangtag.calibration import MEMORY, WORDS, Calibration, Clues
from hangtag.prior import TagPrior
from serve.engines.engine import Generation
from serve.memory import Estimates


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one tag: `confidence` in 0..1, whether it passes the promise (`auto`), and the clues it was judged by."""

    confidence: float
    auto: bool
    clues: Clues


@dataclass(frozen=True, slots=True)
class Confidence:
    """For the tags of one answer. `evidence` is by tag; `estimate` is a tag's probability where there is no curve, None where
    that of its path has to do."""

    curve: Calibration | None
    evidence: Callable[[int], float]
    estimate: Callable[[int], float] | None = None

    @property
    def promise(self) -> float | None:
        """The precision that is promised of tags that pass; None where nothing is promised."""
        return self.curve.promise.precision if self.curve is not None and self.curve.promise is not None else None

    def judge(self, tag: int, rank: int, log_probability: float) -> Judgement:
        """The tag at a rank, from 1, of the model's answer, whose path has a probability, ln."""
        clues = Clues(log_probability, rank, self.evidence(tag))
        if self.curve is not None:
            probability = self.curve.probability(clues)
            return Judgement(probability, self.curve.passes(probability), clues)
        return Judgement(math.exp(log_probability) if self.estimate is None else self.estimate(tag), False, clues)


def confidence_by(bundle: Bundle, vocabulary: str, words: TagPrior, remembered: Estimates | None) -> Confidence:
    """For answers over a vocabulary, by its hash, where `words` are the log-weights that a listing gives its tags and
    `remembered` is what a memory makes of them."""
    own = vocabulary == bundle.vocabulary.hash
    if remembered is None:
        return Confidence(bundle.calibrations.find(vocabulary, WORDS, own=own), lambda tag: words.weights.get(tag, 0.0))
    curve = bundle.calibrations.find(vocabulary, MEMORY, own=own)
    if not leads(bundle, own, remembered):
        return Confidence(curve, remembered.logit)
    return Confidence(curve or remembered.curve, remembered.logit, remembered.probability)


def leads(bundle: Bundle, own: bool, remembered: Estimates) -> bool:
    """Whether a memory is believed rather than the model: over tags that the model never saw, and over its `own` if it did not
    learn them from this shop and the memory knows it."""
    return not own or (not bundle.weights.own_memory and remembered.leads)


def confident(confidences: Sequence[float], least: float, count: int) -> list[int]:
    """Where in an answer the tags stand that have at least that confidence, and as many of the surest others as `count` lacks, in
    the answer's order."""
    surest = sorted(range(len(confidences)), key=lambda place: -confidences[place])
    enough = sum(confidence >= least for confidence in confidences)
    return sorted(surest[: max(enough, count)])


def path_log_probabilities(generation: Generation, codec: AnswerCodec) -> list[float]:
    """ln of the probability of each tag's path in the order of the answer: of its tokens and the separator that ends it."""
    found: list[float] = []
    total, begun = 0.0, False
    for token, logprob in zip(generation.ids, generation.logprobs, strict=True):
        if token == codec.separator_id and not begun:
            break
        total, begun = total + logprob, True
        if token == codec.separator_id:
            found.append(total)
            total, begun = 0.0, False
    return found
