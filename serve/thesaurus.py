"""`Thesaurus`: which tags of a well worded vocabulary, the thesaurus, mean about what the tags of another vocabulary mean, and
what these borrow from them. It knows no listing and compares labels and aliases only, never definitions, products or meanings.

A tag f is linked with all thesaurus tags t that have a wording of f, its words stemmed; if there are none, with the LINKS most
similar ones, from SIMILAR on. Similarity is the highest cosine of a wording of f with one of t, as binary vectors of features
(words and their character 3- and 4-grams; 1- to 3-grams of Chinese) times ln((wordings + 1) / (wordings with it + 1)) + 1 in
the thesaurus: what the thesaurus has never heard of keeps wordings apart. When t has a score, f borrows

    17/20 * max over t of sqrt(similarity(f, t) / tags f' with similarity(f', t) >= similarity(f, t)) * heard(t)

where heard(t) is the score of t or 9/10 of the best heard(child of t): broad tags borrow from narrow ones, never the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from hangtag.text import is_han
from hangtag.vocabulary import TagVocabulary

BORROWED_WEIGHT = 0.85
"""Below what a tag's own wording in another language than the listing's weighs, so that an own wording wins."""

CHILD_WEIGHT = 0.9
"""Of a step from a tag of the thesaurus to its parent."""

LINKS = 6
"""At most, of a tag with similar tags of the thesaurus."""

SIMILAR = 0.2
"""Labels of two ideographs of which one is shared have cosines of 0.2 to 0.4."""

BATCH = 2_000
"""Wordings compared at once: each has some letters in common with hundreds of the thesaurus."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Pieces = Callable[[str], list[str]]
"""From a text to its words, folded and stemmed, and its runs of ideographs."""


class Thesaurus:
    """The links of a vocabulary's tags, T in number, with the tags of a thesaurus, made once."""

    def __init__(self, thesaurus: TagVocabulary, vocabulary: TagVocabulary, pieces: Pieces) -> None:
        parents = (tag.parent for tag in thesaurus)
        self._parents = [None if parent is None else thesaurus.index(parent) for parent in parents]
        lent, asked = list(_wordings(thesaurus, pieces)), list(_wordings(vocabulary, pieces))
        links = _same(asked, lent)
        known = {tag for tag, _, _ in links}
        links += _similar([(tag, wording) for tag, wording in asked if tag not in known], lent)
        tags, lenders, similarity = np.array(links, dtype=np.float64).reshape(-1, 3).T
        weights = BORROWED_WEIGHT * np.sqrt(similarity / _sharers(lenders, similarity))
        shape = (len(vocabulary), len(thesaurus))
        self._links = csc_array((weights.astype(np.float32), (tags.astype(int), lenders.astype(int))), shape=shape)

    def borrowed(self, scores: Iterable[tuple[int, float]]) -> Floats:
        """What each tag of the vocabulary borrows if these tags of the thesaurus have these scores. Shape (T,)."""
        heard: dict[int, float] = {}
        for tag, score in scores:
            above: int | None = tag
            while above is not None and score > heard.get(above, 0.0):
                heard[above] = score
                above, score = self._parents[above], CHILD_WEIGHT * score
        borrowed = np.zeros(self._links.shape[0], dtype=np.float32)
        links = self._links[:, list(heard)]
        loans = links.data * np.repeat(np.array(list(heard.values()), dtype=np.float32), np.diff(links.indptr))
        np.maximum.at(borrowed, links.indices, loans)
        return borrowed


def _wordings(vocabulary: TagVocabulary, pieces: Pieces) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(tag, pieces) of all labels and aliases that have any."""
    for position, tag in enumerate(vocabulary):
        texts = [*tag.labels.values(), *(alias for group in tag.aliases.values() for alias in group)]
        yield from ((position, wording) for wording in dict.fromkeys(tuple(pieces(text)) for text in texts) if wording)


def _same(asked: list[tuple[int, tuple[str, ...]]], lent: list[tuple[int, tuple[str, ...]]]) -> list[tuple[int, int, float]]:
    """(tag, tag of the thesaurus, 1) where one has a wording of the other."""
    lenders: dict[tuple[str, ...], list[int]] = {}
    for lender, wording in lent:
        lenders.setdefault(wording, []).append(lender)
    pairs = dict.fromkeys((tag, lender) for tag, wording in asked for lender in lenders.get(wording, ()))
    return [(tag, lender, 1.0) for tag, lender in pairs]


def _similar(asked: list[tuple[int, tuple[str, ...]]], lent: list[tuple[int, tuple[str, ...]]]) -> list[tuple[int, int, float]]:
    """(tag, tag of the thesaurus, similarity), for each tag the LINKS most similar ones from SIMILAR on."""
    if not asked or not lent:
        return []
    hashing = HashingVectorizer(
        analyzer=_features, n_features=2**20, norm=None, alternate_sign=False, binary=True, dtype=np.float32
    )
    known = hashing.transform([wording for _, wording in lent])
    weighing = TfidfTransformer().fit(known)
    lenders, tags = np.array([lender for lender, _ in lent]), np.array([tag for tag, _ in asked])
    against = csr_array(weighing.transform(known).T)
    found = []
    for start in range(0, len(asked), BATCH):
        vectors = weighing.transform(hashing.transform([wording for _, wording in asked[start : start + BATCH]]))
        cosines = (csr_array(vectors) @ against).tocoo()
        near = cosines.data >= SIMILAR
        found.append((tags[start + cosines.row[near]], lenders[cosines.col[near]], cosines.data[near]))
    ours, theirs, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    links: dict[int, dict[int, float]] = {}
    for place in np.lexsort((theirs, -similarity)):
        best = links.setdefault(int(ours[place]), {})
        if len(best) < LINKS:
            best.setdefault(int(theirs[place]), float(similarity[place]))
    return [(tag, lender, value) for tag, best in links.items() for lender, value in best.items()]


def _features(wording: tuple[str, ...]) -> Iterator[str]:
    """Words and, marked so that they are no words, their letters; parts of runs of ideographs."""
    for piece in wording:
        if is_han(piece[0]):
            yield from (piece[start : start + size] for size in (1, 2, 3) for start in range(len(piece) - size + 1))
        else:
            yield piece
            letters = f"{piece} "
            yield from (f" {letters[start : start + size]}" for size in (3, 4) for start in range(len(letters) - size + 1))


def _sharers(lenders: NDArray[np.float64], similarity: NDArray[np.float64]) -> Integers:
    """How many tags are at least as similar to the same tag of the thesaurus, each link's own included."""
    place = 2 * lenders - similarity.round(6)
    ordered = np.sort(place)
    return np.searchsorted(ordered, place, side="right") - np.searchsorted(ordered, 2 * lenders - 1.5)
