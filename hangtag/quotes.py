"""`QuotableText`: which continuous spans of a listing can be written between quotation marks, token by token. It knows bytes
and tokens, not why something is quoted.

The state is the set of byte positions of the listing at which what has been written so far may end, so one quotation can
follow several places at once. A span starts and ends on a word boundary, stays in one line, and contains nothing that an
explanation may not contain. A step is possible only where the rest of its word is: so a span can always be ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from hangtag.explanation import (
    FORBIDDEN,
    FORBIDDEN_BYTES,
    FORBIDDEN_CHARACTERS,
    OPEN_QUOTE,
    UNREACHABLE,
    ExplanationGrammar,
)
from hangtag.text import is_word_boundary


class Step(NamedTuple):
    """`token` leads from byte position `start` of the listing to `end`; its word ends at `word_end`, which is `left` tokens
    further at least."""

    start: int
    token: int
    end: int
    word_end: int
    left: int


class QuotableText:
    """The spans of `lines` (the listing exactly as written) for one tokenizer's grammar.

    Sets of byte positions that are no longer to be quoted (`spent`) are integers: bit p is byte p.
    """

    def __init__(self, lines: Sequence[str], grammar: ExplanationGrammar) -> None:
        self.lines = tuple(lines)
        self.grammar = grammar
        self._text = "\n".join(lines)
        self._data = self._text.encode()

    def __len__(self) -> int:
        """Bytes."""
        return len(self._data)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Byte positions at which a span may begin, ascending: word starts from which the end of a word can be reached."""
        return tuple(position for position in self._boundaries[0] if self.steps(position))

    def may_end(self, position: int) -> bool:
        """Whether a span may end before byte `position`."""
        return self.word_ends[position] == position

    def steps(self, position: int) -> list[Step]:
        """The steps from a byte position."""
        return self._steps[position]

    def is_free(self, step: Step, spent: int) -> bool:
        """Whether nothing from the step's start to the end of its word is spent."""
        return not spent >> step.start & ((1 << (step.word_end - step.start)) - 1)

    def shortest(self, spent: int) -> int:
        """Tokens of the shortest span that is free; UNREACHABLE if there is none."""
        if not spent:
            return self._shortest
        return self._fewest(spent)

    def occurrences(self, span: str) -> list[tuple[int, int]]:
        """Byte positions before and after each place where `span` can be quoted."""
        data, found = span.encode(), []
        start = self._data.find(data) if data else -1
        while start >= 0:
            end = start + len(data)
            if start in self._start_set and self.may_end(end) and not self._broken_in(start, end):
                found.append((start, end))
            start = self._data.find(data, start + 1)
        return found

    @cached_property
    def word_ends(self) -> list[int]:
        """(bytes + 1,) the first place from a byte position on where a span may end, -1 where a forbidden byte comes before."""
        ends, following = set(self._boundaries[1]), [-1] * (len(self._data) + 1)
        for position in range(len(self._data), -1, -1):
            if position in ends:
                following[position] = position
            elif position < len(self._data) and position not in self._broken:
                following[position] = following[position + 1]
        return following

    @cached_property
    def _steps(self) -> list[list[Step]]:
        """By position, from the last to the first, since how far a step is from the end of its word depends on later ones."""
        left = [UNREACHABLE] * (len(self._data) + 1)
        found: list[list[Step]] = [[] for _ in left]
        for position in range(len(self._data), -1, -1):
            word_end = self.word_ends[position]
            if word_end == position:
                left[position] = 0
            for token, end in self._matches(position):
                if left[end] < UNREACHABLE:
                    found[position].append(Step(position, token, end, self.word_ends[end], left[end]))
                    if end <= word_end:
                        left[position] = min(left[position], 1 + left[end])
        return found

    def _matches(self, position: int) -> Iterable[tuple[int, int]]:
        """Tokens that the bytes from `position` on begin with, and where they end."""
        known, data = self.grammar.tokens_by_bytes, self._data
        for end in range(position + 1, min(position + self.grammar.longest_from(data[position : position + 2]), len(data)) + 1):
            if end - 1 in self._broken:
                return
            for token in known.get(data[position:end], ()):
                yield token, end

    @cached_property
    def _shortest(self) -> int:
        return self._fewest(0)

    def _fewest(self, spent: int) -> int:
        steps = (step for start in self.starts for step in self.steps(start) if not spent or self.is_free(step, spent))
        return min((1 + step.left for step in steps), default=UNREACHABLE)

    @cached_property
    def _start_set(self) -> frozenset[int]:
        return frozenset(self.starts)

    @cached_property
    def _boundaries(self) -> tuple[list[int], list[int]]:
        """Byte positions of word starts and of word ends."""
        starts, ends, position = [], [], 0
        for offset, character in enumerate(self._text):
            if is_word_boundary(self._text, offset):
                if character.isalnum():
                    starts.append(position)
                if offset > 0 and not self._text[offset - 1].isspace():
                    ends.append(position)
            position += len(character.encode())
        if self._text and not self._text[-1].isspace():
            ends.append(position)
        return starts, ends

    def _broken_in(self, start: int, end: int) -> bool:
        return not self._broken.isdisjoint(range(start, end))

    @cached_property
    def _broken(self) -> frozenset[int]:
        """Byte positions that no span may contain: forbidden characters, and the last byte of each forbidden pattern."""
        broken: set[int] = set()
        position = 0
        for character in self._text:
            size = len(character.encode())
            if character in FORBIDDEN_CHARACTERS or character == OPEN_QUOTE or ord(character) in FORBIDDEN_BYTES:
                broken.update(range(position, position + size))
            position += size
        lowered = self._data.lower()
        for pattern in FORBIDDEN:
            found = lowered.find(pattern)
            while found >= 0:
                broken.add(found + len(pattern) - 1)
                found = lowered.find(pattern, found + 1)
        return frozenset(broken)
