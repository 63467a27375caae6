"""`Closeness`: how alike words are to those of a vocabulary, letter by letter. It knows words, no listing and no tag.

The closeness of a word to one of the vocabulary's is the square of the share of the latter's character 3- and 4-grams that the
word has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

Close = tuple[NDArray[np.int64], NDArray[np.float32]]
"""What the words of a vocabulary that are like a word are called, and how close they are."""

KEPT = 2_000_000
"""Numbers, 24 MB: the words of a shop come again and again, and comparing their letters takes a third of a look-up."""


class Closeness:
    """To `words`, which are called `names`, (words,). What was found of a word is kept for the next listing that has it."""

    def __init__(self, words: list[str], names: NDArray[np.int64]) -> None:
        self._names = names
        self._shares = _letter_shares(words)
        self._kept: dict[str, Close] = {}
        self._size = 0
        self._lock = threading.Lock()

    def of(self, words: Sequence[str]) -> list[Close]:
        """For each word those that share letters with it."""
        close = {word: self._kept.get(word) for word in words}
        if new := [word for word, found in close.items() if found is None]:
            found = dict(zip(new, self._compared(new), strict=True))
            self._keep(found)
            close.update(found)
        return [one for word in words if (one := close[word]) is not None]

    def _compared(self, words: list[str]) -> Iterator[Close]:
        rows = _letters(words) @ self._shares
        names, closeness, cuts = self._names[rows.indices], rows.data**2, rows.indptr[1:-1]
        for some, theirs in zip(np.split(names, cuts), np.split(closeness, cuts), strict=True):
            yield some.copy(), theirs.copy()  # of its own, so that the others can be forgotten

    def _keep(self, found: dict[str, Close]) -> None:
        size = sum(len(word) + len(names) for word, (names, _) in found.items())
        with self._lock:
            if self._size + size > KEPT:
                self._kept, self._size = {}, 0
            if size <= KEPT:
                self._kept.update(found)
                self._size += size


def _letters(words: list[str]) -> csr_array:
    """Which character 3- and 4-grams each word has, its ends marked by spaces. Shape (len(words), hashes)."""
    hashing = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), n_features=2**18, norm=None, alternate_sign=False, binary=True, dtype=np.float32
    )
    return csr_array(hashing.transform(words or [""]))


def _letter_shares(words: list[str]) -> csr_array:
    """`_letters` of the vocabulary's words, each divided by how many it has, transposed. Shape (hashes, V)."""
    letters = _letters(words)
    letters.data /= np.repeat(np.diff(letters.indptr), np.diff(letters.indptr))
    return csr_array(letters.T)
