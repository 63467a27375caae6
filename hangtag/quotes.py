"""`QuotableText`: which continuous spans of a listing can be written between quotation marks, token by token. It knows bytes
and tokens, not why something is quoted.

The state is the set of byte positions of the listing at which what has been written so far may end, so one quotation can
follow several places at once. A span starts and ends on a word boundary, stays in one line, and contains nothing that an
explanation may not contain. A step is possible only where the rest of its word is: so a span can always be ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.explanation import (
    FORBIDDEN,
    FORBIDDEN_BYTES,
    FORBIDDEN_CHARACTERS,
    OPEN_QUOTE,
    UNREACHABLE,
    ExplanationGrammar,
)
from hangtag.masks import packed
from hangtag.text import word_edges

Int64 = NDArray[np.int64]
FORBIDDEN_POINTS = np.array(sorted({*FORBIDDEN_BYTES, *map(ord, FORBIDDEN_CHARACTERS), ord(OPEN_QUOTE)}), np.uint32)


class Step(NamedTuple):
    """`token` leads from a byte position of the listing to `end`; from the position to `word_end` nothing may be spent, and
    that is `left` tokens further at least."""

    token: int
    end: int
    word_end: int
    left: int


class Way:
    """The steps from one byte position: also their tokens, in `left` and `word_end` the largest of theirs, and by token where
    one leads, with the end of its word; and whether a span `may_end` before the position."""

    __slots__ = ("left", "may_end", "steps", "to", "tokens", "word_end")

    def __init__(self, steps: tuple[Step, ...], may_end: bool) -> None:
        self.steps, self.may_end = steps, may_end
        self.tokens = [step.token for step in steps]
        self.left = max((step.left for step in steps), default=-1)
        self.word_end = max((step.word_end for step in steps), default=0)
        self.to = {step.token: (step.end, step.word_end) for step in steps}


class Steps(NamedTuple):
    """All steps, ascending by start: arrays of one length, int64."""

    start: Int64
    token: Int64
    end: Int64
    word_end: Int64
    left: Int64


class QuotableText:
    """The spans of `lines` (the listing exactly as written) for one tokenizer's grammar.

    Sets of byte positions that are no longer to be quoted (`spent`) are integers: bit p is byte p.
    """

    def __init__(self, lines: Sequence[str], grammar: ExplanationGrammar) -> None:
        self.lines = tuple(lines)
        self.grammar = grammar
        self._text = "\n".join(lines)
        self._data = self._text.encode()
        self._shortest: dict[int, int] = {}
        self._free: dict[int, NDArray[np.bool_]] = {}
        self._seen: dict[int, Way] = {}

    def __len__(self) -> int:
        """Bytes."""
        return len(self._data)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Byte positions at which a span may begin, ascending: word starts from which the end of a word can be reached."""
        return tuple(np.unique(self._firsts.start).tolist())

    def may_end(self, position: int) -> bool:
        """Whether a span may end before byte `position`."""
        return position in self._word_ends

    def steps_from(self, position: int) -> Way:
        """The steps from a byte position."""
        if (known := self._seen.get(position)) is None:
            first, last = np.searchsorted(self.steps.start, (position, position + 1))
            columns = (column[first:last].tolist() for column in self.steps[1:])
            known = self._seen[position] = Way(tuple(map(Step._make, zip(*columns, strict=True))), self.may_end(position))
        return known

    def first_ends(self, token: int, spent: int) -> tuple[int, ...]:
        """Where spans end that begin with `token`."""
        starts = self._starts_of.get(token, ())
        ends = {end for start, end, word_end in starts if not spent or is_free(start, word_end, spent)}
        return tuple(sorted(ends))

    def first_tokens(self, spent: int, room: int) -> Int64:
        """Tokens that a span may begin with, some more than once, where fewer than `room` end its first word."""
        return self._firsts.token[(self._firsts.left < room) & self._is_free(spent)]

    @cached_property
    def first_mask(self) -> NDArray[np.uint32]:
        """The tokens that a span may begin with, packed, (ceil(tokens / 32),)."""
        return packed(self._firsts.token, len(self.grammar.written))

    @cached_property
    def longest_first(self) -> int:
        """The most tokens that it takes to end a word after its first token; -1 where nothing can be quoted."""
        return int(self._firsts.left.max(initial=-1))

    def shortest(self, spent: int) -> int:
        """Tokens of the shortest span of which nothing is spent; UNREACHABLE if there is none."""
        if (known := self._shortest.get(spent)) is None:
            left = self._firsts.left[self._is_free(spent)]
            known = self._shortest[spent] = 1 + int(left.min(initial=UNREACHABLE - 1))
        return known

    def occurrences(self, span: str) -> list[tuple[int, int]]:
        """Byte positions before and after each place where `span` can be quoted."""
        data, found = span.encode(), []
        start = self._data.find(data) if data else -1
        while start >= 0:
            end = start + len(data)
            if start in self._start_set and self.may_end(end) and self._whole[start] >= end:
                found.append((start, end))
            start = self._data.find(data, start + 1)
        return found

    @cached_property
    def word_ends(self) -> Int64:
        """Byte positions before which a span may end, ascending."""
        return self._boundaries[1]

    @cached_property
    def steps(self) -> Steps:
        """Every step from which the end of its word can be reached."""
        start, token, end = self._matches
        word_end = self._following_end
        left = np.where(word_end == np.arange(len(word_end)), 0, UNREACHABLE)
        within = (end <= word_end[start]) & (start < word_end[start])
        inner_start, inner_end = start[within], end[within]
        groups = np.flatnonzero(np.diff(inner_start, prepend=-1))
        while len(groups):
            nearer = np.minimum(left[inner_start[groups]], np.minimum.reduceat(left[inner_end], groups) + 1)
            if (nearer == left[inner_start[groups]]).all():
                break
            left[inner_start[groups]] = nearer
        kept = left[end] < UNREACHABLE
        start, token, end = start[kept], token[kept], end[kept]
        return Steps(start, token, end, word_end[end], left[end])

    @cached_property
    def _firsts(self) -> Steps:
        """The steps that a span may begin with."""
        begins = np.zeros(len(self._data) + 1, np.bool_)
        begins[self._boundaries[0]] = True
        return Steps(*(column[begins[self.steps.start]] for column in self.steps))

    @cached_property
    def _starts_of(self) -> dict[int, list[tuple[int, int, int]]]:
        """By token: start, end and end of the word of the steps that a span may begin with."""
        steps, found = self._firsts, dict[int, list[tuple[int, int, int]]]()
        columns = (column.tolist() for column in (steps.token, steps.start, steps.end, steps.word_end))
        for token, start, end, word_end in zip(*columns, strict=True):
            found.setdefault(token, []).append((start, end, word_end))
        return found

    @cached_property
    def _start_set(self) -> frozenset[int]:
        return frozenset(self.starts)

    @cached_property
    def _word_ends(self) -> frozenset[int]:
        return frozenset(self._boundaries[1].tolist())

    def _is_free(self, spent: int) -> NDArray[np.bool_]:
        """(steps that a span may begin with,) of which of them nothing is spent, up to the end of the word."""
        if (known := self._free.get(spent)) is not None:
            return known
        bits = np.frombuffer(spent.to_bytes(len(self._data) // 8 + 1, "little"), np.uint8)
        before = np.concatenate([[0], np.cumsum(np.unpackbits(bits, bitorder="little"), dtype=np.int64)])
        free: NDArray[np.bool_] = before[self._firsts.word_end] == before[self._firsts.start]
        self._free[spent] = free
        return free

    @cached_property
    def _matches(self) -> tuple[Int64, Int64, Int64]:
        """Every token that the bytes from some position on begin with: start, token and end."""
        found: list[tuple[int, int, int]] = []
        data, known = self._data, self.grammar.tokens_by_bytes
        for start, limit in enumerate(self._whole[:-1].tolist()):
            for end in range(start + 1, limit + 1):
                tokens = known.get(data[start:end])
                if tokens is None:
                    break
                for token in tokens:
                    found.append((start, token, end))
        columns = np.array(found, np.int64).reshape(-1, 3).T
        return columns[0], columns[1], columns[2]

    @cached_property
    def _whole(self) -> Int64:
        """(bytes + 1,) up to which byte position nothing forbidden stands, from each position on."""
        limits = np.full(len(self._data) + 1, len(self._data), np.int64)
        limits[self._broken] = self._broken
        return np.minimum.accumulate(limits[::-1])[::-1]

    @cached_property
    def _following_end(self) -> Int64:
        """(bytes + 1,) the first place from a byte position on where a span may end, -1 where a forbidden byte comes before."""
        ends = self.word_ends
        places = np.arange(len(self._data) + 1)
        following = np.append(ends, -1)[np.searchsorted(ends, places)]
        return np.where(following <= self._whole, following, -1)

    @cached_property
    def _boundaries(self) -> tuple[Int64, Int64]:
        """Byte positions of word starts and of word ends."""
        starts, ends = word_edges(self._text)
        return self._places[starts], self._places[ends]

    @cached_property
    def _points(self) -> NDArray[np.uint32]:
        """(characters,) code points."""
        return np.frombuffer(self._text.encode("utf-32-le"), np.uint32)

    @cached_property
    def _places(self) -> Int64:
        """(characters + 1,) the byte position of each character, and of the end."""
        sizes = 1 + (self._points > 0x7F) + (self._points > 0x7FF) + (self._points > 0xFFFF)
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @cached_property
    def _broken(self) -> Int64:
        """Byte positions that no span may contain: forbidden characters, and the last byte of each forbidden pattern."""
        characters = np.flatnonzero(np.isin(self._points, FORBIDDEN_POINTS))
        broken = [np.arange(self._places[character], self._places[character + 1]) for character in characters]
        lowered = self._data.lower()
        for pattern in FORBIDDEN:
            found = lowered.find(pattern)
            while found >= 0:
                broken.append(np.array([found + len(pattern) - 1]))
                found = lowered.find(pattern, found + 1)
        return np.concatenate([np.empty(0, np.int64), *broken])


def is_free(start: int, end: int, spent: int) -> bool:
    """Whether none of the bytes from `start` to `end` is spent."""
    return not spent >> start & ((1 << (end - start)) - 1)
