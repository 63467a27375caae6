"""`Memory`: tagged listings, the ones most like a listing, and how likely that makes each tag. What is added counts at the next
look-up. It knows no model and no HTTP.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hangtag.calibration import Calibration
from hangtag.errors import InvalidData, InvalidMemory, InvalidVocabulary
from hangtag.listing import Listing
from hangtag.lookup import tag_named
from hangtag.prior import TagPrior
from hangtag.vocabulary import TagVocabulary
from serve.candidates import Candidate
from serve.memory.evidence import Evidence, Floats, Integers, gather
from serve.memory.index import KEPT_READ, Entry, TaggedIndex, entry_of
from serve.memory.neighbours import Neighbourhood, neighbourhood, say
from serve.memory.terms import Terms, pack
from serve.memory.trust import ENOUGH, Trust, read_trust, write_trust, written

NEIGHBOURS = 128
"""Remembered listings that are compared with a listing closely."""

BATCH = 20_000
"""Listings that are committed together."""

FLOOR, MOST_CERTAIN = -9.0, 12.0
"""Logits: below, a tag is as good as not known (1 in 8,000), and above, nothing is told apart (1 in 160,000 is wrong)."""

LEADING = 100
"""Listings that a memory is fitted on before it leads."""

LONGEST_ID = 1_000
"""Characters; the index drops terms of more than 65,530 bytes without a word."""

INDEX, TRUST = "index", "trust.json"


class TaggedListing(Protocol):
    """What can be remembered; `eval.rows.Row` is one. `listing.id` names it, `product_id` may be empty."""

    @property
    def listing(self) -> Listing: ...

    @property
    def tags(self) -> tuple[str, ...]: ...

    @property
    def product_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A remembered listing, its tags by id, and its cosine with the one that was looked up, in 0..1."""

    id: str
    title: str
    tags: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """How likely tags are given to a listing: tags by number, the likeliest first, and the logit of each one's probability, both
    of shape (tags,). `trust` is how often a logit counts against the model, None where nobody fitted it; `enough` is the logit
    from which on a tag is worth suggesting; `curve` calibrates the logits of tags that are suggested, None where nobody fitted
    one; `fitted_on` is how many listings all this was fitted on."""

    tags: Integers
    logits: Floats
    trust: float | None = None
    enough: float = ENOUGH
    curve: Calibration | None = None
    fitted_on: int = 0

    @property
    def leads(self) -> bool:
        """Whether the memory knows its shop better than a model knows the vocabulary that it was trained on."""
        return self.fitted_on >= LEADING

    def within(self, left: NDArray[np.bool_]) -> Estimates:
        """Of the tags that `left`, (tags of the vocabulary,), is true for."""
        kept = left[self.tags]
        return replace(self, tags=self.tags[kept], logits=self.logits[kept])

    def likeliest(self, count: int) -> list[int]:
        """The first `count` tags."""
        found: list[int] = self.tags[:count].tolist()
        return found

    @property
    def believed(self) -> int:
        """How many tags are worth suggesting."""
        return int((self.logits >= self.enough).sum())

    def logit(self, tag: int) -> float:
        """Within FLOOR and MOST_CERTAIN; a tag that nothing speaks for is at FLOOR."""
        return min(float(self.logits[self.tags == tag].max(initial=FLOOR)), MOST_CERTAIN)

    def probability(self, tag: int) -> float:
        """In (0, 1): that a merchant gives the tag."""
        return 1 / (1 + math.exp(-self.logit(tag)))

    def prior(self, trust: float, least: float = FLOOR) -> TagPrior:
        """Log-weights for the decoder: what logits have above `least`, as often as was fitted, else `trust` times."""
        factor = trust if self.trust is None else self.trust
        certain = np.minimum(self.logits, MOST_CERTAIN)
        return TagPrior({int(t): factor * float(x - least) for t, x in zip(self.tags, certain, strict=True) if x > least})


class Memory:
    """The memory in a directory, over the tags of a vocabulary. Tags are kept by id: those that the vocabulary lacks are passed
    over."""

    def __init__(self, directory: Path, vocabulary: TagVocabulary) -> None:
        self.directory = directory
        self.vocabulary = vocabulary
        self._numbers: dict[tuple[str, ...], list[int]] = {}
        self._index = TaggedIndex(directory / INDEX)
        self._written = written(directory / TRUST)
        self._trust = read_trust(directory / TRUST)

    @classmethod
    def open(cls, directory: Path, vocabulary: TagVocabulary) -> Memory:
        """The memory in a directory that has one. Raises `InvalidMemory`."""
        if not (directory / INDEX).is_dir():
            raise InvalidMemory(f"{directory}: no memory here; make one with `hangtag memory add FILE --memory {directory}`")
        return cls(directory, vocabulary)

    @classmethod
    def build(cls, rows: Iterable[TaggedListing], vocabulary: TagVocabulary, directory: Path) -> Memory:
        """A new memory of rows, not fitted yet (`serve.memory.fit`). Raises `InvalidMemory` for a directory that has one,
        `InvalidData` for a tag that the vocabulary lacks."""
        if (directory / INDEX).exists():
            raise InvalidMemory(f"{directory}: a memory is here already; add to it, or take another directory")
        memory = cls(directory, vocabulary)
        memory.add(rows)
        return memory

    def over(self, vocabulary: TagVocabulary) -> Memory:
        """The same memory over the tags of another vocabulary; what either learns, both know."""
        other = copy(self)
        other.vocabulary, other._numbers = vocabulary, {}
        return other

    @property
    def trust(self) -> Trust:
        """What was fitted last, by whatever process; the defaults where nobody did. Raises `InvalidMemory`."""
        if (now := written(self.directory / TRUST)) != self._written:
            self._trust = read_trust(self.directory / TRUST)
            self._written = now
        return self._trust

    @property
    def identity(self) -> str:
        """Equal for memories that say the same: one that was built of the same rows in the same order, and trusted alike."""
        return f"{self._index.stamp}:{self.trust.hash}"

    def __len__(self) -> int:
        return len(self._index)

    def add(self, rows: Iterable[TaggedListing]) -> Counter[str]:
        """Remember rows; one with a known id replaces what was known, and one that says the same changes nothing. In batches of
        BATCH, each wholly or not at all. How many were "added", "replaced" and "unchanged". Raises `InvalidData` for a row
        without an id or tags, or with a tag that the vocabulary lacks."""
        done: Counter[str] = Counter()
        entries = map(self._entry, rows)
        while batch := list(islice(entries, BATCH)):
            done += self._index.write(batch)
        return done

    def remove(self, ids: Iterable[str]) -> int:
        """Forget the listings with these ids; how many were known."""
        return self._index.write((), ids)["removed"]

    def similar(self, listing: Listing, k: int) -> list[Neighbour]:
        """The k remembered listings most like it, best first; fewer where fewer share a term with it."""
        found, near, _ = self._near(listing, max(k, NEIGHBOURS), "")
        return [Neighbour(e.id, e.listing.title, e.tags, float(score)) for e, score in zip(found[:k], near.near[:k], strict=True)]

    def estimates(self, listing: Listing, words: Sequence[Candidate], *, hold_out: bool = False) -> Estimates:
        """How likely each tag is: those of similar listings, and those that words suggest (`Candidates.find`). With `hold_out`
        as if the listing, by its id, and its product were not remembered."""
        evidence = self.evidence(listing, words, self._index.get(listing.id) if hold_out and listing.id else None)
        trust = self.trust
        logits = trust.logits(evidence)
        order = np.lexsort((evidence.tags, -logits))
        return Estimates(evidence.tags[order], logits[order], trust.prior, trust.enough, trust.curve, trust.fitted_on)

    def evidence(self, listing: Listing, words: Sequence[Candidate], held: Entry | None = None) -> Evidence:
        """What is known about the listing's tags; as if `held` (and listings of its product) were not remembered."""
        _, near, tags = self._near(listing, NEIGHBOURS, held.group if held else "")
        said = say(near, tags)
        own = self.numbers(held.tags) if held else []
        stated = self.trust.stated

        def times_used(numbers: Integers) -> Integers:
            names = [self.vocabulary.tags[number].id for number in numbers]
            return self._index.tagged(names) - np.isin(numbers, own)

        def rate(number: int) -> float:
            return stated.of(self.vocabulary.tags[number].id, given=int(number in own), stated=int(held is not None))

        return gather(said, words, times_used, rate)

    def use(self, trust: Trust, *, keep: bool = True) -> None:
        """Believe the memory so far from now on, here and, if it is to be kept, wherever the memory is opened next."""
        if keep:
            write_trust(trust, self.directory / TRUST)
        self._trust, self._written = trust, written(self.directory / TRUST)

    def sample(self, count: int) -> list[Entry]:
        """`count` remembered listings, or all; the same every time."""
        return self._index.sample(count)

    def tags(self) -> Counter[str]:
        """Every tag by id, also those that the vocabulary lacks, and how many remembered listings have it."""
        return self._index.tags()

    def numbers(self, tags: Iterable[str]) -> list[int]:
        """Those of the tags that the vocabulary has, by number."""
        return [self.vocabulary.index(tag) for tag in tags if tag in self.vocabulary]

    def close(self) -> None:
        """Let other processes write."""
        self._index.close()

    def _near(self, listing: Listing, count: int, without: str) -> tuple[list[Entry], Neighbourhood, list[list[int]]]:
        """Up to `count` neighbours, nearest first, and their tags by number; none of the group `without`."""
        terms = Terms.of(listing)
        found = [entry for entry in self._index.search(terms, count + bool(without)) if entry.group != without]
        near, order = neighbourhood(pack(terms), [entry.terms for entry in found], self._index.rarity, self.trust.letters)
        ordered = [found[place] for place in order]
        return ordered, near, [self._numbers_of(entry.tags) for entry in ordered]

    def _numbers_of(self, tags: tuple[str, ...]) -> list[int]:
        """See `numbers`; of entries that are found again and again they are kept, and not to be changed."""
        if (known := self._numbers.get(tags)) is None:
            if len(self._numbers) >= KEPT_READ:
                self._numbers = {}
            known = self._numbers[tags] = self.numbers(tags)
        return known

    def _entry(self, row: TaggedListing) -> tuple[Entry, Terms]:
        id = row.listing.id
        if not id or len(id) > LONGEST_ID:
            raise InvalidData(f"row {id[:20]!r}: an id is needed, of at most {LONGEST_ID:,} characters", field="id")
        if not row.tags:
            raise InvalidData(f"row {id!r}: it has no tags, so there is nothing to remember", field="tags")
        try:
            tags = [self.vocabulary.tags[tag_named(name, self.vocabulary)].id for name in row.tags]
        except InvalidVocabulary as error:
            raise InvalidData(f"row {id!r}: {error}", field="tags") from error
        terms = Terms.of(row.listing)
        return entry_of(row.listing, dict.fromkeys(tags), row.product_id, terms), terms
