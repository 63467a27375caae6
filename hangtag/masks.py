"""Packed masks of tokens: bit t % 32 of word t // 32 is token t. It knows bits, and nothing of why they are set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


def packed(tokens: NDArray[np.integer], size: int) -> Words:
    """A mask of `size` bits with those of `tokens` set, (ceil(size / 32),)."""
    bits = np.zeros(-(-size // 32) * 32, np.bool_)
    bits[tokens] = True
    return np.packbits(bits, bitorder="little").view("<u4")


class SparseMask(NamedTuple):
    """A mask of few bits: the words in which there are some, ascending, and those words."""

    places: NDArray[np.intp]
    words: Words

    @classmethod
    def of(cls, tokens: NDArray[np.integer]) -> SparseMask:
        """The mask of tokens, at least one."""
        ascending = np.sort(tokens)
        places, first = np.unique(ascending >> 5, return_index=True)
        return cls(places.astype(np.intp), np.bitwise_or.reduceat(np.uint32(1) << (ascending & 31).astype(np.uint32), first))


class Scratch:
    """A mask of `size` bits to be written again and again. It remembers where, so that a few bits cost no pass over it."""

    def __init__(self, size: int) -> None:
        self.words: Words = np.zeros(-(-size // 32), np.uint32)
        self._view: memoryview = self.words.data
        self._touched: list[int] | NDArray[np.intp] | None = []
        self._held: Words | None = None
        self._bits = np.zeros(len(self.words) * 32, np.bool_)

    def write(self, tokens: Sequence[int]) -> Words:
        """The mask of these tokens and no others."""
        self._clear()
        self._touched = touched = []
        view = self._view
        for token in tokens:
            word = token >> 5
            view[word] |= 1 << (token & 31)
            touched.append(word)
        return self.words

    def write_one(self, token: int) -> Words:
        """`write` for one token."""
        if type(self._touched) is list:
            for word in self._touched:
                self._view[word] = 0
        else:
            self._clear()
        word = token >> 5
        self._view[word] = 1 << (token & 31)
        self._touched = [word]
        return self.words

    def write_many(self, tokens: NDArray[np.integer]) -> Words:
        """`write` for hundreds of tokens."""
        self._bits[tokens] = True
        self.words.view(np.uint8)[:] = np.packbits(self._bits, bitorder="little")
        self._bits[tokens] = False
        self._touched = self._held = None
        return self.words

    def write_without(self, mask: SparseMask, tokens: Iterable[int]) -> Words:
        """A mask of few bits without some of its tokens."""
        self._clear()
        self.words[mask.places] = mask.words
        self._touched = mask.places
        self._forbid(tokens)
        return self.words

    def hold(self, mask: Words) -> Words:
        """A copy of a stored mask, which is there already where it was the last one."""
        if mask is not self._held:
            np.copyto(self.words, mask)
            self._touched, self._held = None, mask
        return self.words

    def copy_without(self, mask: Words, tokens: Iterable[int]) -> Words:
        """A stored mask without some of its tokens."""
        np.copyto(self.words, mask)
        self._touched = self._held = None
        self._forbid(tokens)
        return self.words

    def _clear(self) -> None:
        touched = self._touched
        if touched is None:
            self.words.fill(0)
            self._held = None
        elif type(touched) is list:
            view = self._view
            for word in touched:
                view[word] = 0
        else:
            self.words[touched] = 0

    def _forbid(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self._view[token >> 5] &= ~(1 << (token & 31)) & 0xFFFFFFFF
