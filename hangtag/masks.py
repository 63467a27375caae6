"""Packed masks of tokens: bit t % 32 of word t // 32 is token t. It knows bits, and nothing of why they are set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


def packed(tokens: NDArray[np.integer], size: int) -> Words:
    """A mask of `size` bits with those of `tokens` set, (ceil(size / 32),)."""
    bits = np.zeros(-(-size // 32) * 32, np.bool_)
    bits[tokens] = True
    return np.packbits(bits, bitorder="little").view("<u4")


class Scratch:
    """A mask of `size` bits to be written again and again. It remembers where, so that a few bits cost no pass over it."""

    def __init__(self, size: int) -> None:
        self.words: Words = np.zeros(-(-size // 32), np.uint32)
        self._view: memoryview = self.words.data
        self._touched: list[int] | None = []
        self._held: Words | None = None
        self._bits = np.zeros(len(self.words) * 32, np.bool_)

    def write(self, tokens: Iterable[int]) -> Words:
        """The mask of these tokens and no others."""
        if self._touched is None:
            self.words.fill(0)
            self._held = None
        else:
            for word in self._touched:
                self._view[word] = 0
        self._touched = touched = []
        for token in tokens:
            word = token >> 5
            self._view[word] |= 1 << (token & 31)
            touched.append(word)
        return self.words

    def write_many(self, tokens: NDArray[np.integer]) -> Words:
        """`write` for hundreds of tokens."""
        self._bits[tokens] = True
        self.words.view(np.uint8)[:] = np.packbits(self._bits, bitorder="little")
        self._bits[tokens] = False
        self._touched = self._held = None
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
        for token in tokens:
            self._view[token >> 5] &= ~(1 << (token & 31)) & 0xFFFFFFFF
        return self.words
