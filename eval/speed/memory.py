"""How long the memory takes as it grows to a million listings, beside SQLite's full-text search and an exact scan. It knows
generated listings and times, no model.

Listings are English and Chinese in turn: wordings of their tags among words drawn by Zipf's law from 60,000. Those that are asked
for are as new as a merchant's next listing: not one of them is remembered.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # scikit-learn's own

from eval.speed.tags import make_vocabulary
from hangtag.errors import InvalidSettings
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from serve.candidates import Candidates
from serve.memory import Memory
from serve.memory.index import TaggedIndex
from serve.memory.memory import BATCH, INDEX, NEIGHBOURS
from serve.memory.terms import WIDTH, Terms, columns, pack

TAGS, TAGS_A_LISTING = 5_000, 3
WORDS, SKEW = 60_000, 0.9
TITLE_WORDS, DESCRIPTION_WORDS = 5, 20
NEAREST = 10
"""Of the exact scan: how many of them the index finds is its recall."""

ADDED_ALONE, ALONE_FROM, NEW_FROM = 20, 10**9, 2 * 10**9
"""Listings that are added one by one, and the first numbers of these and of those that are asked for: far from all others."""

PEERS_ASKED = 50
SEED = 5

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one kind of look-up over all that were asked."""

    name: str
    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class Grown:
    """A memory of a size. `rate` is listings added a second since the size before, None where none was; `add_one_ms` the median
    until one more counts; `recall` the share of the scan's NEAREST that the index finds, None without peers."""

    listings: int
    rate: float | None
    megabytes: float
    add_one_ms: float
    recall: float | None
    timings: Sequence[Timing]


@dataclass(frozen=True, slots=True)
class Made:
    """A generated tagged listing."""

    listing: Listing
    tags: tuple[str, ...]
    product_id: str = ""


class Shop:
    """Listings by number, the same on every machine."""

    def __init__(self) -> None:
        self.vocabulary: TagVocabulary = make_vocabulary(TAGS)
        chance = np.random.default_rng(SEED)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en", "il")]
        drawn = chance.integers(0, len(syllables), (WORDS, 3))
        self._english = ["".join(syllables[place] for place in row) for row in drawn.tolist()]
        ideographs = chance.integers(0x4E00, 0x4E00 + 3_000, (WORDS, 2)).tolist()
        self._chinese = [chr(one) + chr(two) for one, two in ideographs]
        share = np.arange(1.0, WORDS + 1) ** -SKEW
        self._until = np.cumsum(share / share.sum())

    def listings(self, first: int, last: int) -> list[Made]:
        """Those numbered from `first` up to `last`."""
        chance = np.random.default_rng([SEED, first])
        count = last - first
        words = np.searchsorted(self._until, chance.random((count, TITLE_WORDS + DESCRIPTION_WORDS))).clip(max=WORDS - 1).tolist()
        tags = (chance.integers(0, TAGS // 2, (count, TAGS_A_LISTING)) * 2).tolist()
        return [self._listing(first + place, words[place], tags[place]) for place in range(count)]

    def _listing(self, number: int, words: Sequence[int], tags: Sequence[int]) -> Made:
        chinese = number % 2
        lexicon, blank = (self._chinese, "") if chinese else (self._english, " ")
        given = [self.vocabulary.tags[tag + chinese] for tag in dict.fromkeys(tags)]
        text = [lexicon[word] for word in words]
        title = blank.join([*text[:TITLE_WORDS], given[0].id])
        description = blank.join([*text[TITLE_WORDS:], given[-1].id])
        return Made(Listing(title, description, id=str(number)), tuple(tag.id for tag in given))


def run(
    sizes: Sequence[int],
    asked: int,
    tick: Tick = lambda listings: None,
    *,
    peers_up_to: int = 0,
    directory: Path | None = None,
) -> Iterator[Grown]:
    """One memory that grows from size to size, the smallest first, on one thread; peers grow with it up to a size. It is made in
    `directory` and stays there, so that a run that was interrupted goes on with it, or else among temporary files. Sizes below
    what is there already are left out. Raises `InvalidSettings` for a size below 1."""
    if min(sizes) < 1:
        raise InvalidSettings(f"a size is {min(sizes)}; at least one listing is needed", field="sizes")
    shop = Shop()
    new = [made.listing for made in shop.listings(NEW_FROM, NEW_FROM + asked)]
    candidates = Candidates(shop.vocabulary)
    with TemporaryDirectory() as scratch, threadpool_limits(1):
        memory = Memory(directory or Path(scratch) / "memory", shop.vocabulary)
        beside = Peers(Path(scratch) / "peer.sqlite")
        tick(held := len(memory))
        for size in sorted(size for size in sizes if size >= held):
            spent, before = 0.0, held
            while held < size:
                rows = shop.listings(held, min(held + BATCH, size))
                begun = time.perf_counter()
                memory.add(rows)
                spent += time.perf_counter() - begun
                held += len(rows)
                tick(len(rows))
            rate = (size - before) / spent if spent else None
            while len(beside) < size <= peers_up_to:
                beside.add([made.listing for made in shop.listings(len(beside), min(len(beside) + BATCH, size))])
            yield _measured(memory, beside if size <= peers_up_to else None, shop, new, candidates, rate)
        memory.close()


def _measured(
    memory: Memory, beside: Peers | None, shop: Shop, new: Sequence[Listing], candidates: Candidates, rate: float | None
) -> Grown:
    size = len(memory)
    megabytes = sum(file.stat().st_size for file in memory.directory.rglob("*") if file.is_file()) / 1e6
    index = TaggedIndex(memory.directory / INDEX)
    words = [candidates.find(listing) for listing in new]
    terms = [Terms.of(listing) for listing in new]
    timings = [
        _timed("search", lambda place: index.search(terms[place], NEIGHBOURS), len(new)),
        _timed("estimates", lambda place: memory.estimates(new[place], words[place]), len(new)),
    ]
    recall = None
    if beside is not None:
        few = terms[:PEERS_ASKED]
        beside.ready()
        nearest = [beside.scan(each, NEAREST) for each in few]
        found = [{int(entry.id) for entry in index.search(each, NEIGHBOURS)} for each in few]
        recall = float(np.mean([len(found[place] & set(ids)) / len(ids) for place, ids in enumerate(nearest) if ids]))
        timings += [
            _timed("exact scan (scipy)", lambda place: beside.scan(few[place], NEIGHBOURS), len(few)),
            _timed("SQLite FTS5", lambda place: beside.search(few[place], NEIGHBOURS), len(few)),
        ]
    alone = shop.listings(ALONE_FROM, ALONE_FROM + ADDED_ALONE)
    one = _timed("add one", lambda place: memory.add(alone[place : place + 1]), ADDED_ALONE)
    memory.remove([made.listing.id for made in alone])
    return Grown(size, rate, megabytes, one.median, recall, timings)


class Peers:
    """The same words in SQLite's full-text index (BM25), and as a matrix of unit rows that is scanned as a whole (TF-IDF)."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file)
        self._database.execute("create virtual table listings using fts5(words, content='')")
        self._rows: list[NDArray[np.int64]] = []
        self._matrix = csr_array((0, WIDTH))
        self._rarity: NDArray[np.float64] = np.zeros(WIDTH)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, listings: Sequence[Listing]) -> None:
        """Numbered in order, from 0."""
        terms = [Terms.of(listing) for listing in listings]
        words = [(len(self._rows) + place, " ".join(each.words)) for place, each in enumerate(terms)]
        self._database.executemany("insert into listings (rowid, words) values (?, ?)", words)
        self._database.commit()
        self._rows += [_words_of(each) for each in terms]

    def ready(self) -> None:
        """Make the matrix of all that was added."""
        lengths = [len(row) for row in self._rows]
        places = np.concatenate(self._rows)
        self._rarity = np.log((len(lengths) + 1) / (np.bincount(places, minlength=WIDTH) + 1)) + 1
        weights = self._rarity[places]
        owner = np.repeat(np.arange(len(lengths)), lengths)
        weights /= np.sqrt(np.bincount(owner, weights**2, len(lengths)))[owner]
        begins = np.concatenate([[0], np.cumsum(lengths)])
        self._matrix = csr_array((weights.astype(np.float32), places, begins), shape=(len(lengths), WIDTH))

    def scan(self, terms: Terms, count: int) -> list[int]:
        """The `count` nearest of all, by cosine; those that share nothing are none."""
        query = np.zeros(WIDTH, dtype=np.float32)
        query[_words_of(terms)] = self._rarity[_words_of(terms)]
        scores = self._matrix @ query
        count = min(count, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        best = best[np.argsort(-scores[best])]
        found: list[int] = best[scores[best] > 0].tolist()
        return found

    def search(self, terms: Terms, count: int) -> list[int]:
        """The `count` that share words, by SQLite's BM25."""
        query = " OR ".join(f'"{word}"' for word in terms.words)
        asked = "select rowid from listings where listings match ? order by rank limit ?"
        return [number for (number,) in self._database.execute(asked, (query, count))]


def _words_of(terms: Terms) -> NDArray[np.int64]:
    places = columns(pack(Terms(terms.words, type(terms.letters)())))
    return places.astype(np.int64)


def _timed(name: str, look: Callable[[int], object], count: int) -> Timing:
    look(0)
    spent = []
    for place in range(count):
        begun = time.perf_counter()
        look(place)
        spent.append(1_000 * (time.perf_counter() - begun))
    return Timing(name, float(np.median(spent)), float(np.quantile(spent, 0.99)))
