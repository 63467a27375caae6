"""`Candidates`: the tags of any vocabulary that are most related to a listing by label, alias and definition. It knows no
model that writes answers, no user and no tagged listing: words are compared with words, and meanings if an encoder is given.

Lexical score of a wording (a label, an alias or a definition), in 0..1, over its units u (stemmed words; 1- to 3-grams of
Chinese), with idf(u) = ln((wordings + 1) / (wordings with u + 1/2)):

    kind * language * length / (length + 1) * (3/4 * sum of idf(u) * evidence(u) / sum of idf(u) + 1/4 * phrase)

evidence(u) is the importance of the field in which u stands (title 1, description 1/2, attributes 3/10), less the later it
stands. A word that stands nowhere gets (share of its character 3- and 4-grams in the closest word)^2 of that. phrase is the
importance of the field in which the whole wording stands, or 0; length is in bytes; kind and language are 1, but for
definitions and other languages. The value of a label like "attribute: value" is a wording, too. A tag has the score of its best
wording or, with a thesaurus, what it borrows from tags that mean about the same (`serve.thesaurus`), if that is more; a wording
that stands whole in the listing gives most to a tag that has it as label or alias itself. With an encoder the score is 1/5
lexical + 8/5 cosine, each the best of the tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hangtag.listing import Listing
from hangtag.prior import TagPrior
from hangtag.text import attribute_value, is_han, primary_subtag
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from serve.closeness import Closeness
from serve.pieces import pieces
from serve.semantic import SentenceEncoder
from serve.thesaurus import Thesaurus

IMPORTANCE = (1.0, 0.5, 0.3)
"""Of title, description and attributes."""

DEFINITION_WEIGHT = 0.5
FOREIGN_WEIGHT = 0.9
"""Of wordings in another language than the listing's."""

LATE_LOSS = 0.2
"""What the last word of a field loses against the first; and what Chinese loses that does not end its run, where the head
of a noun stands."""

LEAST_HEARD = 0.99 * IMPORTANCE[-1] * (1 - LATE_LOSS) ** 2
"""Evidence, rounding allowed for, that every unit of a wording has at least where the wording stands whole."""

PHRASE_SHARE = 0.25
LEXICAL_WEIGHT, COSINE_WEIGHT = 0.2, 1.6
"""With an encoder. A label and its listing seldom have a cosine above 0.6, so that one adds up to about 1."""

EMBEDDED_AS = {"zh": "关于{}的描述。"}
EMBEDDED_OTHERWISE = "A description of {}."
"""What an encoder reads for a label, by language: a bare word lies further from its listings than a sentence about it."""

READ_CHARACTERS = 4_000
"""Of each field, from its beginning: what a long article is about is said by then."""

COMPARED_WORDS = 64
"""Words of a listing, the most important first, that are compared letter by letter; the others count only as they are."""

RESCORED = 200
"""Best tags by their units whose wordings are looked for as phrases."""

STRENGTH = 6.0
"""Weight of the score 1 in a prior, in nats: the likeliest for the right tags of 2,008 products among 102 labels."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tag by its index in the vocabulary, and how related it is: above 0; 1 is as good as its label in the title. `stated`
    is whether a label or alias of it stands in the listing, not only as a part of another tag's longer one."""

    tag: int
    score: float
    stated: bool = False


class Candidates:
    """An index over a vocabulary, made once: T tags with W wordings in the order of the tags, of U units, V of them words.
    Tags borrow from `thesaurus`, a vocabulary with many wordings; if it has the same tags, it is not used."""

    def __init__(
        self, vocabulary: TagVocabulary, *, encoder: SentenceEncoder | None = None, thesaurus: TagVocabulary | None = None
    ) -> None:
        tags, languages, texts, kinds = zip(
            *((tag, *wording) for tag, item in enumerate(vocabulary) for wording in _wordings(item)), strict=True
        )
        self._tag = np.array(tags)
        self._first_row = np.searchsorted(self._tag, np.arange(len(vocabulary) + 1))
        said = list(map(pieces, texts))
        self._phrases = list(map(_phrase, said))
        self._languages, self._language = np.unique(list(map(primary_subtag, languages)), return_inverse=True)
        lengths = np.array([len(phrase.strip().encode()) for phrase in self._phrases])
        self._names = [kind == 1.0 and len(phrase) > len(" 棉 ") for kind, phrase in zip(kinds, self._phrases, strict=True)]
        self._weight = np.asarray(kinds * lengths / (lengths + 1), dtype=np.float32)
        self._weight_in: dict[str, Floats] = {}
        self._unit, self._shares = _unit_shares(said)
        words = [unit for unit in self._unit if not is_han(unit[0])]
        self._closeness = Closeness(words, np.array([self._unit[word] for word in words], dtype=np.int64))
        self.encoder_name = "" if encoder is None else encoder.model
        """Of the encoder, "" for words alone."""
        self.encoder = encoder
        self._vectors = np.zeros((len(texts), 0), dtype=np.float32)
        if encoder is not None:
            self._vectors = encoder.encode([_sentence(*wording) for item in vocabulary for wording in _wordings(item)])
        self._lender: Candidates | None = None
        if thesaurus is not None and thesaurus.hash != vocabulary.hash:
            self._lender = Candidates(thesaurus)
            self._thesaurus = Thesaurus(thesaurus, vocabulary, pieces)

    def find(self, listing: Listing, count: int = 32, *, among: NDArray[np.bool_] | None = None) -> list[Candidate]:
        """The `count` most related tags, best first and equal ones in the vocabulary's order; fewer if fewer score above 0. With
        `among`, (T,), as if there were only the tags that it is true for."""
        values = "\n".join(value for _, value in listing.attributes)
        fields = [field[:READ_CHARACTERS] for field in (listing.title, listing.description, values)]
        weight = self._weights(primary_subtag(listing.resolved_language()))
        said = [pieces(field) for field in fields]
        lexical = (1 - PHRASE_SHARE) * weight * self._heard(self._evidence(said))
        cosine, borrowed = self._cosine(listing), self._borrowed(listing)
        related = self._blend(np.maximum(np.maximum.reduceat(lexical, self._first_row[:-1]), borrowed), cosine)
        if among is not None:
            related = np.where(among, related, -np.inf)

        texts = [
            (_phrase(found), importance)
            for field, found, importance in zip(fields, said, IMPORTANCE, strict=True)
            if field.strip()
        ]
        best = _best(related, max(count, RESCORED))
        best = best[related[best] >= 0]
        is_best = np.zeros(len(related), dtype=np.bool_)
        is_best[best] = True
        rows = np.flatnonzero(is_best[self._tag] & (lexical > 0))
        standing = np.zeros(len(rows), dtype=np.float32)
        possible = np.flatnonzero(lexical[rows] > LEAST_HEARD * (1 - PHRASE_SHARE) * weight[rows])
        standing[possible] = [_importance(self._phrases[row], texts) for row in rows[possible].tolist()]
        own = borrowed.copy()
        np.maximum.at(own, self._tag[rows], lexical[rows] + PHRASE_SHARE * weight[rows] * standing)
        phrases: dict[int, list[str]] = {}
        for row in rows[standing > 0].tolist():
            if self._names[row]:
                phrases.setdefault(int(self._tag[row]), []).append(self._phrases[row])
        stated = _stated(phrases, [text for text, _ in texts])
        scores = self._blend(own[best], cosine[best])
        first = np.argsort(-scores, kind="stable")[:count]
        found = zip(best[first].tolist(), scores[first].tolist(), strict=True)
        return [Candidate(tag, score, tag in stated) for tag, score in found if score > 0]

    def _weights(self, language: str) -> Floats:
        """What each wording counts for a listing in a language. Shape (W,)."""
        if language not in self._languages:
            language = ANY_LANGUAGE
        if (known := self._weight_in.get(language)) is None:
            spoken = np.isin(self._languages, (language, ANY_LANGUAGE))
            known = self._weight * np.where(spoken, 1, FOREIGN_WEIGHT).astype(np.float32)[self._language]
            self._weight_in[language] = known
        return known

    def _heard(self, evidence: Floats) -> Floats:
        """How much of each wording's idf is heard, given how well each unit is. Shape (W,)."""
        units = np.flatnonzero(evidence > 0)  # of truth values several times as fast as of numbers
        begins, many = self._shares.indptr[units], np.diff(self._shares.indptr)[units]
        places = np.arange(many.sum()) + np.repeat(begins - np.cumsum(many) + many, many)
        # scipy's own product takes three times as long where a listing has few of a vocabulary's units
        parts = self._shares.data[places] * np.repeat(evidence[units], many)
        return np.bincount(self._shares.indices[places], parts, len(self._tag)).astype(np.float32)

    def _evidence(self, fields: Sequence[Sequence[str]]) -> Floats:
        """How well each unit of the vocabulary is heard in the pieces of the listing's fields, 0..1. Shape (U,)."""
        heard: dict[str, float] = {}
        for field, importance in zip(fields, IMPORTANCE, strict=True):
            for unit, weight in _placed_units(field):
                if importance * weight > heard.get(unit, 0.0):
                    heard[unit] = importance * weight
        evidence = np.zeros(len(self._unit), dtype=np.float32)
        for unit in heard.keys() & self._unit.keys():
            evidence[self._unit[unit]] = heard[unit]
        words = sorted((unit for unit in heard if not is_han(unit[0])), key=lambda word: -heard[word])[:COMPARED_WORDS]
        if words:
            units, closeness = zip(*self._closeness.of(words), strict=True)
            weights = np.repeat(np.array([heard[word] for word in words], dtype=np.float32), list(map(len, units)))
            np.maximum.at(evidence, np.concatenate(units), np.concatenate(closeness) * weights)
        return evidence

    def _cosine(self, listing: Listing) -> Floats:
        """Mean cosine, 0 at least, of each tag's best wording with the description and with title and description, shape (T,);
        zeros without an encoder."""
        if self.encoder is None:
            return np.zeros(len(self._first_row) - 1, dtype=np.float32)
        both = f"{listing.title}\n{listing.description}".strip() or listing.text()
        read = self.encoder.encode([both, listing.description.strip() or both]).mean(axis=0)
        return np.maximum.reduceat(self._vectors @ read, self._first_row[:-1]).clip(min=0)

    def _borrowed(self, listing: Listing) -> Floats:
        """What each tag borrows from related tags of the thesaurus, shape (T,); zeros without one."""
        if self._lender is None:
            return np.zeros(len(self._first_row) - 1, dtype=np.float32)
        return self._thesaurus.borrowed((found.tag, found.score) for found in self._lender.find(listing, RESCORED))

    def _blend(self, lexical: Floats, cosine: Floats) -> Floats:
        return lexical if self.encoder is None else LEXICAL_WEIGHT * lexical + COSINE_WEIGHT * cosine


def candidate_prior(candidates: Iterable[Candidate], *, stated: float = 0.0) -> TagPrior:
    """Log-weights STRENGTH * score, in nats: e^5 : 1 for a label in the title, less than 2 : 1 for a few letters alike; and
    `stated` more for tags that the listing states, wherever it does."""
    return TagPrior({found.tag: STRENGTH * found.score + stated * found.stated for found in candidates})


def _importance(phrase: str, texts: Sequence[tuple[str, float]]) -> float:
    """That of the first text with the phrase, 0 where none has it; the most important text comes first."""
    for text, importance in texts:
        if phrase in text:
            return importance
    return 0.0


def _stated(phrases: dict[int, list[str]], texts: list[str]) -> set[int]:
    """The tags of which a phrase stands in a text at a place that no longer phrase covers."""
    stated: set[int] = set()
    covered = [np.zeros(len(text), dtype=np.bool_) for text in texts]
    by_length = sorted(((phrase, tag) for tag, group in phrases.items() for phrase in group), key=lambda pair: -len(pair[0]))
    for length, group in groupby(by_length, key=lambda pair: len(pair[0])):
        places = [
            (tag, text, start) for phrase, tag in group for text in range(len(texts)) for start in _starts(phrase, texts[text])
        ]
        stated |= {tag for tag, text, start in places if not covered[text][start + 1 : start + length - 1].all()}
        for _, text, start in places:
            covered[text][start + 1 : start + length - 1] = True
    return stated


def _starts(phrase: str, text: str) -> Iterator[int]:
    start = text.find(phrase)
    while start >= 0:
        yield start
        start = text.find(phrase, start + 1)


def _wordings(tag: Tag) -> Iterator[tuple[str, str, float]]:
    """(language, text, weight) of all that is said about the tag."""
    for language, label in tag.labels.items():
        yield from ((language, text, 1.0) for text in dict.fromkeys((label, attribute_value(label))))
    for language, aliases in tag.aliases.items():
        yield from ((language, alias, 1.0) for alias in aliases)
    if tag.definition:
        yield ANY_LANGUAGE, tag.definition, DEFINITION_WEIGHT


def _sentence(language: str, text: str, weight: float) -> str:
    """What the encoder reads for a wording; definitions are sentences already."""
    if weight == DEFINITION_WEIGHT:
        return text
    return EMBEDDED_AS.get(primary_subtag(language), EMBEDDED_OTHERWISE).format(text)


def _placed_units(found: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Units of the pieces of a text, each with what its place leaves of its importance, (1 - LATE_LOSS)^2..1."""
    for place, piece in enumerate(found):
        weight = 1 - LATE_LOSS * place / len(found)
        if not is_han(piece[0]):
            yield piece, weight
            continue
        for length in (1, 2, 3):
            last = len(piece) - length
            for start in range(last):
                yield piece[start : start + length], weight * (1 - LATE_LOSS)
            if last >= 0:
                yield piece[last:], weight


def _phrase(found: Sequence[str]) -> str:
    """Words and single ideographs of a text, given its pieces, between spaces, so that whole phrases are found with `in`."""
    return f" {' '.join(' '.join(piece) if is_han(piece[0]) else piece for piece in found)} "


def _unit_shares(texts: Sequence[Sequence[str]]) -> tuple[dict[str, int], csr_array]:
    """The units of all texts, given their pieces, numbered, and the share of idf that each has in each text. Shape (U, W),
    columns sum to 1."""
    number: dict[str, int] = {}
    found = [(number.setdefault(u, len(number)), column) for column, text in enumerate(texts) for u in dict(_placed_units(text))]
    units, columns = np.array(found, dtype=np.int64).reshape(-1, 2).T
    frequency = np.bincount(units, minlength=len(number))
    idf = np.log((len(texts) + 1) / (frequency + 0.5))[units]
    total = np.bincount(columns, weights=idf, minlength=len(texts))
    shares = csr_array(((idf / total[columns]).astype(np.float32), (units, columns)), shape=(len(number), len(texts)))
    return number, shares


def _best(scores: Floats, count: int) -> NDArray[np.int64]:
    """Indexes of the `count` highest scores, ascending; of equal ones at the limit the first."""
    if count >= len(scores):
        return np.arange(len(scores))
    limit = np.sort(scores)[-count]  # np.partition takes 15 times as long where most scores are 0
    above, equal = np.flatnonzero(scores > limit), np.flatnonzero(scores == limit)
    return np.sort(np.concatenate([above, equal[: count - len(above)]]))
