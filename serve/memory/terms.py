"""A listing as counted terms: its words, and the letters of its title. It knows no index and no tag.

Words are stemmed, the parts of CamelCase names are words too, and Chinese gives its ideographs and pairs of them. Letters are
the 3- and 4-grams of the title's words, their ends marked: what is left in common where names are joined or spelt otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hangtag.listing import Listing
from hangtag.text import is_han
from serve.pieces import pieces

READ_CHARACTERS = 4_000
"""Of each field, from its beginning, as candidates read them."""

TITLE_WORDS = 32
"""Words of the title that give letters: a long article's first line is no name."""

BUCKETS = 1 << 20
WIDTH = 2 * BUCKETS
"""Terms are counted and compared by hash: a word's column is its hash, letters stand BUCKETS above. With a million different
terms most columns hold one or two; a rare term then looks a little less rare, and no more."""

MOST_COUNTED = 255
COLUMN_BITS = 21

LETTER_MARK = "~"

_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")

Packed = NDArray[np.uint32]
"""Counted terms, shape (different terms,): count << COLUMN_BITS | column, ascending by column."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How often each term stands in a listing; letters begin with LETTER_MARK, which no word has."""

    words: Counter[str]
    letters: Counter[str]

    @classmethod
    def of(cls, listing: Listing) -> Terms:
        """The terms of a listing. All but blanks and punctuation gives at least a word."""
        values = "\n".join(value for _, value in listing.attributes)
        fields = [field[:READ_CHARACTERS] for field in (listing.title, listing.description, values)]
        whole = _words("\n".join(fields))
        parts = _words(_JOINT.sub(" ", "\n".join(fields)))
        title = pieces(_JOINT.sub(" ", fields[0]))[:TITLE_WORDS]
        return cls(whole + Counter({part: n for part, n in parts.items() if part not in whole}), Counter(_letters(title)))


@lru_cache(maxsize=1 << 17)
def column(term: str) -> int:
    """The term's column, below WIDTH; the same on every machine."""
    return crc32(term.encode()) % BUCKETS + BUCKETS * term.startswith(LETTER_MARK)


def pack(terms: Terms) -> Packed:
    """The terms by column; what falls into one is one term from here on."""
    found: dict[int, int] = {}
    for group in (terms.words, terms.letters):
        for term, count in group.items():
            place = column(term)
            found[place] = found.get(place, 0) + count
    places = np.fromiter(found, dtype=np.uint32, count=len(found))
    times = np.fromiter(found.values(), dtype=np.uint32, count=len(found))
    order = np.argsort(places)
    return (np.minimum(times, MOST_COUNTED) << np.uint32(COLUMN_BITS) | places)[order]


def columns(packed: Packed) -> Packed:
    """The columns of packed terms."""
    return packed & np.uint32((1 << COLUMN_BITS) - 1)


def counts(packed: Packed) -> Packed:
    """How often each term stands in its listing, 1..MOST_COUNTED."""
    return packed >> np.uint32(COLUMN_BITS)


def _words(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for piece in pieces(text):
        if is_han(piece[0]):
            found.update(piece)
            found.update(piece[start : start + 2] for start in range(len(piece) - 1))
        else:
            found[piece] += 1
    return found


def _letters(words: list[str]) -> Iterator[str]:
    for word in words:
        if not is_han(word[0]):
            ended = f"<{word}>"
            yield from (
                LETTER_MARK + ended[start : start + length] for length in (3, 4) for start in range(len(ended) - length + 1)
            )
