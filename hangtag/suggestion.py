"""`Suggestion`: what hangtag answers. It knows nothing of how it came about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hangtag.calibration import Clues
from hangtag.text import match_language, primary_subtag
from hangtag.vocabulary import Tag

STOPS = {"zh": "。"}
"""What ends a sentence, where it is no full stop."""

_STAMMER = re.compile(r"(.{1,8}?)\1{3}", re.DOTALL)
"""A few characters, four times in a row: no word of a language does that."""

CLAUSES = {"en": ("Chosen for your interests: {}.", ", ", " "), "zh": ("因您的兴趣而选：{}。", "、", "")}
"""By language: what is said of tags that an answer owes to interests, what stands between them, and what before it. Quotation
marks are for words of the listing, so there are none."""


@dataclass(frozen=True, slots=True)
class TagSuggestion:
    """One suggested tag, as written in the answer's language. `confidence` in 0..1 is the probability that a merchant accepts it;
    `auto` is whether it is among the tags of which a precision is promised. `clues` are what both were told by. It is
    `owed_to_interests` where it would not be in the answer if nothing were known of the user."""

    tag: Tag
    label: str
    confidence: float
    auto: bool = False
    clues: Clues | None = None
    owed_to_interests: bool = False


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


def readable(explanation: str, language: str) -> str:
    """The explanation up to its last quotation where a model stammers behind it; without one, once what it says over and over."""
    quoted = explanation.rfind("”") + 1
    stammer = _STAMMER.search(explanation, quoted)
    if stammer is None:
        return explanation
    return explanation[:quoted] + STOPS.get(primary_subtag(language), ".") if quoted else explanation[: stammer.end(1)].rstrip()


def with_interests(explanation: str, labels: Sequence[str], language: str) -> str:
    """The explanation and, where the answer owes tags to interests, which; nothing in a language that CLAUSES lacks."""
    known = match_language(language, CLAUSES)
    if not labels or known is None:
        return explanation
    clause, between, before = CLAUSES[known]
    return explanation + (before if explanation else "") + clause.format(between.join(labels))
