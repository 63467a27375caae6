"""`Suggestion`: what hangtag answers. It knows nothing of how it came about."""

from __future__ import annotations

from dataclasses import dataclass

from hangtag.vocabulary import Tag


@dataclass(frozen=True, slots=True)
class TagSuggestion:
    """One suggested tag, as written in the answer's language. `confidence` in (0, 1] is the probability of the tag's path
    through the vocabulary: of each of its tokens among the tokens allowed there, at temperature 1, prior included."""

    tag: Tag
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The tags in the order of the answer, the reason, and what the reader should know about the answer (`notices`)."""

    tags: tuple[TagSuggestion, ...]
    explanation: str
    language: str
    model: str
    vocabulary_name: str
    vocabulary_hash: str
    notices: tuple[str, ...] = ()
