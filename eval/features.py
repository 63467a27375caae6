"""Text as TF-IDF features, in the recipes that suit a language, and which recipe is best on rows held out of training. It knows
listings and texts, no tag and no classifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from hangtag.listing import Listing
from hangtag.text import primary_subtag

Block = tuple[str, tuple[int, int], int]
"""Analyzer of scikit-learn, lengths of its n-grams, and rows that must have an n-gram."""

RECIPES: dict[str, tuple[Block, ...]] = {
    "words": (("word", (1, 1), 1),),
    "words 1-2": (("word", (1, 2), 1),),
    "word parts 2-5": (("char_wb", (2, 5), 1),),
    "words 1-2, word parts 3-5": (("word", (1, 2), 1), ("char_wb", (3, 5), 2)),
    "characters 1-2": (("char", (1, 2), 1),),
    "characters 1-3": (("char", (1, 3), 1),),
}
"""Term frequencies are sublinear throughout (1 + ln tf), blocks weigh alike, and every listing has length 1 (L2)."""

_ALPHABETIC = tuple(name for name in RECIPES if name.startswith("word"))
FOR_LANGUAGE = {"zh": tuple(name for name in RECIPES if name.startswith("char")), "ja": ("characters 1-2", "characters 1-3")}


def recipes_for(listings: Sequence[Listing]) -> tuple[str, ...]:
    """The recipes worth trying for the language that most of the listings are in."""
    languages = Counter(primary_subtag(listing.resolved_language()) for listing in listings)
    return FOR_LANGUAGE.get(languages.most_common(1)[0][0], _ALPHABETIC)


@dataclass(eq=False)
class Features:
    """A recipe fitted to training listings; F features."""

    recipe: str
    _blocks: list[TfidfVectorizer]

    @classmethod
    def fit(cls, recipe: str, listings: Sequence[Listing]) -> tuple[Features, csr_array]:
        """The features and those of the listings themselves, shape (listings, F)."""
        texts = [listing.text() for listing in listings]
        blocks, found = [], []
        for analyzer, lengths, rows in RECIPES[recipe]:
            block = TfidfVectorizer(
                analyzer=analyzer,
                ngram_range=lengths,
                min_df=min(rows, len(texts)),
                sublinear_tf=True,
                token_pattern=r"(?u)\w+" if analyzer == "word" else None,
                dtype=np.float32,
            )
            try:
                found.append(block.fit_transform(texts))
            except ValueError:  # no text has anything of this kind
                continue
            blocks.append(block)
        return cls(recipe, blocks), _joined(found, len(texts))

    def __call__(self, listings: Sequence[Listing]) -> csr_array:
        """Features of other listings, shape (listings, F)."""
        texts = [listing.text() for listing in listings]
        return _joined([block.transform(texts) for block in self._blocks], len(texts))


def _joined(blocks: Sequence[csr_array], rows: int) -> csr_array:
    if not blocks:
        return csr_array((rows, 1), dtype=np.float32)
    return csr_array(normalize(hstack(blocks, format="csr")), dtype=np.float32)
