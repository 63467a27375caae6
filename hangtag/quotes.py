"""`QuotableText`: which continuous spans of a listing can be written between quotation marks, token by token. It knows bytes
and tokens, not why something is quoted.

The state is the set of byte positions of the listing at which what has been written so far may end, so one quotation can
follow several places at once. A span starts and ends on a word boundary, stays in one line, and contains nothing that an
explanation may not contain.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from hangtag.explanation import (
    CLOSE_QUOTE,
    FORBIDDEN,
    FORBIDDEN_BYTES,
    FORBIDDEN_CHARACTERS,
    OPEN_QUOTE,
    UNREACHABLE,
    ExplanationGrammar,
)
from hangtag.text import is_word_boundary

CLOSING = CLOSE_QUOTE.encode()
"""The bytes that end a quotation."""


class QuotableText:
    """The spans of `lines` (the listing exactly as written) that have no byte in `spent`, for one tokenizer's grammar.

    `starts`: byte positions at which a quotation may begin. `tokens_left[p]`: tokens needed from byte position p inside a
    quotation to the next place where it may end, UNREACHABLE if there is none.
    """

    def __init__(self, lines: Sequence[str], grammar: ExplanationGrammar, spent: frozenset[int] = frozenset()) -> None:
        self.lines = tuple(lines)
        self._text = "\n".join(lines)
        self._data = self._text.encode()
        self._grammar = grammar
        self._broken = self._breaks() | spent
        self._matches: dict[int, dict[int, int]] = {}
        self._rests: dict[frozenset[int], QuotableText] = {}

    def without(self, spent: frozenset[int]) -> QuotableText:
        """What can be quoted where the bytes in `spent` can not."""
        if not spent:
            return self
        if spent not in self._rests:
            self._rests[spent] = QuotableText(self.lines, self._grammar, spent)
        return self._rests[spent]

    def matches(self, position: int) -> dict[int, int]:
        """Tokens that continue a span at byte `position`, with the position after each."""
        if position not in self._matches:
            found: dict[int, int] = {}
            for end in range(position + 1, min(position + self._grammar.longest, len(self._data)) + 1):
                if end - 1 in self._broken:
                    break
                for token in self._grammar.tokens_by_bytes.get(self._data[position:end], ()):
                    found[token] = end
            self._matches[position] = found
        return self._matches[position]

    @cached_property
    def starts(self) -> frozenset[int]:
        """Word starts from which the end of a word can be reached."""
        return frozenset(p for p in self._boundaries[0] if self._from_start(p) < UNREACHABLE)

    @cached_property
    def tokens_for_shortest(self) -> int:
        """Tokens of the shortest span; UNREACHABLE if there is none."""
        return min(map(self._from_start, self.starts), default=UNREACHABLE)

    def places(self, span: bytes) -> frozenset[int]:
        """The byte positions that `span` covers, wherever a quotation of it could have begun."""
        begins = (start for start in self.starts if self._data.startswith(span, start))
        return frozenset(position for start in begins for position in range(start, start + len(span)))

    def occurrences(self, span: str) -> list[tuple[int, int]]:
        """Byte positions before and after each place where `span` can be quoted."""
        data = span.encode()
        return [(start, start + len(data)) for start in sorted(self.starts) if self._is_quotable(start, data)]

    def _is_quotable(self, start: int, data: bytes) -> bool:
        places = range(start, start + len(data))
        return self._data.startswith(data, start) and self._broken.isdisjoint(places) and self.may_end(start + len(data))

    def may_end(self, position: int) -> bool:
        """Whether a span may end before byte `position`."""
        return position in self._ends

    @cached_property
    def tokens_left(self) -> list[int]:
        """(bytes + 1,) see the class; by dynamic programming from the end."""
        left = [UNREACHABLE] * (len(self._data) + 1)
        for position in range(len(self._data), -1, -1):
            following = self.matches(position).values()
            left[position] = 0 if position in self._ends else min((1 + left[end] for end in following), default=UNREACHABLE)
        return left

    def _from_start(self, position: int) -> int:
        return min((1 + self.tokens_left[end] for end in self.matches(position).values()), default=UNREACHABLE)

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self._boundaries[1])

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

    def _breaks(self) -> frozenset[int]:
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
