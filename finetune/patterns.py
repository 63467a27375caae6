"""The parts that listings are written from: templates, wordings, and the search for wordings in text.
It knows no listings and no answers, and it refuses templates whose own words are wordings of the vocabulary."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]

from hangtag.text import fold
from hangtag.vocabulary import TagVocabulary

Split = Literal["train", "test"]
FACETS = (
    "category", "topic", "feature", "style", "material", "pattern", "fit", "audience", "occasion", "season", "colour",
)  # fmt: skip
"""In the order of importance."""

HOLE = "\ue003"
_WORD = re.compile(r"[^\W_]+")
_NODE = re.compile(r"\[([^\[\]]*\{[^\[\]]*)\]|\{([a-zA-Z0-9]+)(?::([^}]*))?\}")
_PREPOSITIONS = {"for", "in", "at", "on", "with", "before", "to", "above", "made"}
_NOT_VERBS = re.compile(r"hours|refills|kids|sports|canvas|eucalyptus|continuous|.*ss|.*us|.*is")


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say a tag. `kind` is "verb" ("folds flat"), "prep" ("for her"), "pre" (only before a noun) or ""."""

    tag: int
    facet: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    separator: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text, slots, and groups (a tuple of parts) that are left out when one of their slots is empty."""

    parts: tuple[Any, ...]
    needs: tuple[str, ...]
    literal: str
    carries_any: bool


class Matcher:
    """Finds the wordings of a vocabulary in text: whole words in English, substrings of two or more signs in Chinese."""

    def __init__(self, vocabulary: TagVocabulary, language: str) -> None:
        self._chinese = language == "zh"
        self.owners: dict[str, set[int]] = defaultdict(set)
        for position, tag in enumerate(vocabulary):
            for wording in tag.wordings(language):
                if len(key := self.key(wording)) > 1:
                    self.owners[key].add(position)
        self._lengths: dict[str, list[int]] = defaultdict(list)
        for key in self.owners:
            head, length = (key[:2], len(key)) if self._chinese else (key.split()[0], key.count(" ") + 1)
            if length not in self._lengths[head]:
                self._lengths[head].append(length)

    def key(self, text: str) -> str:
        return fold(text) if self._chinese else " ".join(_WORD.findall(text.casefold()))

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Start, end and key of every wording in `text`."""
        text, found = text.casefold() if len(text.casefold()) == len(text) else text.lower(), []
        if self._chinese:
            for start in range(len(text) - 1):
                for length in self._lengths.get(text[start : start + 2], ()):
                    if text[start : start + length] in self.owners:
                        found.append((start, start + length, text[start : start + length]))
            return found
        words = [(match.start(), match.end(), match.group()) for match in _WORD.finditer(text)]
        for position, (start, _, word) in enumerate(words):
            for length in self._lengths.get(word, ()):
                run = words[position : position + length]
                if len(run) == length and (key := " ".join(part[2] for part in run)) in self.owners:
                    found.append((start, run[-1][1], key))
        return found


@cache
def parse(text: str) -> Template:
    parts, needs, literal = _parts(text)
    return Template(parts, needs, literal, any(slot.name == "w" for slot in slots_of(parts)))


def _parts(text: str) -> tuple[tuple[Any, ...], tuple[str, ...], str]:
    parts: list[Any] = []
    needs: list[str] = []
    literals: list[str] = []
    end = 0
    for match in _NODE.finditer(text):
        literals.append(text[end : match.start()])
        parts.append(literals[-1])
        end = match.end()
        if match[1] is not None:
            inner, _, literal = _parts(match[1])  # what a group needs, the template does not
            parts.append(inner)
            literals.append(literal)
        else:
            name = "category" if match[2] == "cat" else match[2]
            parts.append(Slot(name, match[3] or ""))
            needs.append(name)
    literals.append(text[end:])
    parts.append(literals[-1])
    return tuple(part for part in parts if part != ""), tuple(n for n in needs if n in FACETS), HOLE.join(literals)


class Book:
    """The templates of one language and split, without those whose own words are wordings of the vocabulary."""

    def __init__(self, language: str, split: Split, matcher: Matcher) -> None:
        text = (Path(__file__).parent / "templates" / f"{language}.yaml").read_text(encoding="utf-8")
        self._data: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._matcher, self.dropped = matcher, list[str]()
        self.noise = {name: self._clean(values) for name, values in self._data["noise"].items()}
        self.phrases: dict[str, list[str]] = self._data["phrases"]
        self.explanations: list[str] = self._data["explanations"]
        self.attribute_noise: list[list[str]] = self._data["attribute_noise"]
        self.attribute_names = {facet: names[split] for facet, names in self._data["attribute_names"].items()}
        sections = {name: group for name, group in self._data.items() if isinstance(group, dict) and split in group}
        sections |= {f"fillers.{name}": group for name, group in self._data["fillers"].items()}
        self.sections = {name: [parse(t) for t in self._clean(group[split])] for name, group in sections.items()}

    def _clean(self, texts: Iterable[str]) -> list[str]:
        kept = []
        for text in texts:
            if any(self._matcher.find(piece) for piece in parse(text).literal.split(HOLE)):
                self.dropped.append(text)
            else:
                kept.append(text)
        return kept


def slots_of(parts: tuple[Any, ...]) -> list[Slot]:
    return [
        slot
        for part in parts
        for slot in ([part] if isinstance(part, Slot) else slots_of(part) if isinstance(part, tuple) else [])
    ]


def kind_of(text: str, facet: str, language: str) -> str:
    first, _, rest = text.partition(" ")
    if language != "en" or facet in ("category", "topic"):
        return ""
    if facet == "audience" and (text in ("womens", "mens") or (not rest and text.endswith(("'s", "s'")))):
        return "pre"
    if rest and (first in _PREPOSITIONS or (first == "off" and rest != "white")):
        return "prep"
    verb = first in ("can", "won't", "doesn't") or (re.fullmatch(r"[a-z]{3,}s", first) and not _NOT_VERBS.fullmatch(first))
    return "verb" if facet in ("feature", "fit") and rest and verb else ""
