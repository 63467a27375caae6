"""`Suggestion`: what hangtag answers. It knows nothing of how it came about."""

from __future__ import annotations

from dataclasses import dataclass

from hangtag.calibration import Clues
from hangtag.vocabulary import Tag


@dataclass(frozen=True, slots=True)
class TagSuggestion:
    """One suggested tag, as written in the answer's language. `confidence` in 0..1 is the probability that a merchant accepts it;
    `auto` is whether it is among the tags of which a precision is promised. `clues` are what both were told by."""

    tag: Tag
    label: str
    confidence: float
    auto: bool = False
    clues: Clues | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The tags in the order of the answer, the reason, and what the reader should know about the answer (`notices`). Unless it
    `is_calibrated`, a confidence is only what the decoder or a memory found likely. `promise` is the precision that is promised
    of the tags with `auto`, None where nothing is."""

    tags: tuple[TagSuggestion, ...]
    explanation: str
    language: str
    model: str
    vocabulary_name: str
    vocabulary_hash: str
    notices: tuple[str, ...] = ()
    is_calibrated: bool = False
    promise: float | None = None
