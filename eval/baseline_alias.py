"""Exact match: a tag is suggested where its label or an alias stands in the listing as whole words. For tags "attribute: value"
the value is what must stand there. It knows words and counts, no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.baselines import Ranking, Tick, TrainingSet, ranked
from hangtag.listing import Listing
from hangtag.text import attribute_value, fold, is_word_boundary
from hangtag.vocabulary import Tag

RARITY = 0.01
"""Weight of the length of what matched against how often a match was right: only tags that are right equally often are ordered
by it, longer wordings first."""

PSEUDO = 2.0


class AliasMatch:
    """Every tag by how often it was right in training where the listing states it, or where it does not, whichever is the case;
    as if each had been stated PSEUDO times more with the mean of all. Confidence is that share."""

    def __init__(self, training: TrainingSet) -> None:
        self._training = training
        self._wordings: dict[str, list[int]] = {}
        for position, each in enumerate(training.vocabulary):
            for wording in dict.fromkeys(map(fold, _wordings_of(each))):
                self._wordings.setdefault(wording, []).append(position)
        self._longest = max(map(len, self._wordings))
        stated, right = np.zeros(len(training.vocabulary)), np.zeros(len(training.vocabulary))
        for listing, gold in zip(training.listings, training.gold, strict=True):
            for tag in self.stated(listing):
                stated[tag] += 1
                right[tag] += tag in gold
        mean = (right.sum() + 1) / (stated.sum() + 2)
        self._right = (right + PSEUDO * mean) / (stated + PSEUDO)
        counts = np.asarray(training.labels.sum(axis=0)).ravel()
        self._otherwise = ((counts - right) / np.maximum(1, len(training.listings) - stated)).astype(np.float32)
        self.picked: dict[str, Any] = {
            "tags stated in training": int((stated > 0).sum()),
            "share of their matches that is right": round(float(right.sum() / max(1, stated.sum())), 4),
        }

    def stated(self, listing: Listing) -> dict[int, int]:
        """The tags whose wordings stand in the listing, with the length of the longest."""
        found: dict[int, int] = {}
        for line in map(fold, listing.quotable()):
            borders = [offset for offset in range(len(line) + 1) if is_word_boundary(line, offset)]
            for number, start in enumerate(borders):
                for end in borders[number + 1 :]:
                    if end - start > self._longest:
                        break
                    for tag in self._wordings.get(line[start:end], ()):
                        found[tag] = max(found.get(tag, 0), end - start)
        return found

    def rank(self, listings: Sequence[Listing], k: int, tick: Tick) -> Ranking:
        """See `eval.baselines.Baseline`."""
        return ranked(listings, k, self._training, tick, self._scores)

    def _scores(self, listings: Sequence[Listing]) -> NDArray[np.float32]:
        scores = np.tile(self._otherwise, (len(listings), 1))
        for row, listing in enumerate(listings):
            for tag, length in self.stated(listing).items():
                scores[row, tag] = (1 - RARITY) * self._right[tag] + RARITY * length / (length + 10)
        return scores


def _wordings_of(tag: Tag) -> list[str]:
    texts = [*tag.labels.values(), *(alias for group in tag.aliases.values() for alias in group)]
    return [text for each in texts for text in {each, attribute_value(each)}]
