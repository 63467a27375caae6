"""Tagged listings on disk, in tantivy: added, removed, searched by terms. It knows hits and counts, no kernel and no vocabulary.

One process writes at a time (tantivy's lock); any number read, and see what was committed at their next search. How many
listings have a term is kept by hash beside the index (`counts.npz`): a file that is missing or far behind is made again of the
index, so that it can be lost but never wrong.
"""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

from hangtag.errors import InvalidMemory
from hangtag.listing import Listing
from serve.memory.terms import LETTER_MARK, WIDTH, Packed, Terms, column, columns, pack

HEAP_BYTES = 64 * 1024 * 1024
DRIFT = 0.02
"""Share of listings that may have come or gone since the counts were written."""

COUNTED_FROM = 3_000
"""Listings from which on counts are written down: fewer are counted again in no time."""

MOST_POSTINGS = 100_000
"""Listings that the terms of a query stand in, all together: bounds the time of a search, however many listings there are."""

MOST_TERMS = 256
FEWEST_TERMS = 3
"""Asked for even if they stand in more listings than MOST_POSTINGS."""

KEPT_READ = 20_000
"""Entries that stay in this process once they were read."""

COUNTS_FILE = "counts.npz"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tagged listing as it is kept. `group` is shared by listings of one product; `content` is the listing as JSON."""

    id: str
    group: str
    tags: tuple[str, ...]
    terms: Packed
    content: bytes

    def says_the_same_as(self, other: Entry) -> bool:
        """Whether nothing has to be written to replace one by the other."""
        return (self.group, self.tags, self.content) == (other.group, other.tags, other.content)

    @property
    def listing(self) -> Listing:
        """Read from `content`."""
        title, description, attributes, language = json.loads(self.content)
        return Listing(title, description, tuple((name, value) for name, value in attributes), language, self.id)


class TaggedIndex:
    """The entries in one directory, which is made if it is missing. Raises `InvalidMemory` for one that can't be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._schema = _schema()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not tantivy.Index.exists(str(directory)) and any(not file.name.startswith(".") for file in directory.iterdir()):
                raise ValueError("there are files, but no meta.json")
            self._index = tantivy.Index(self._schema, path=str(directory))
        except (OSError, ValueError) as error:
            raise InvalidMemory(f"{directory}: no index of this version of hangtag, or a broken one: {error}") from error
        self._lock = RLock()
        self._writer: tantivy.IndexWriter | None = None
        self._seen = (0, 0)
        self._counted = -1
        self._counts: NDArray[np.int32] = np.zeros(WIDTH, dtype=np.int32)
        self._read: dict[Any, Entry] = {}
        self._tagged: tuple[Any, dict[str, int]] = (None, {})
        """How many entries have a tag, of the searcher that was asked last."""
        self._searcher = self._fresh()

    def __len__(self) -> int:
        return self._fresh().num_docs

    @property
    def stamp(self) -> int:
        """How many changes were made in all; equal for indexes that were made by the same changes."""
        self._fresh()
        stamp: int = json.loads((self.directory / "meta.json").read_text(encoding="utf-8"))["opstamp"]
        return stamp

    def write(self, entries: Iterable[tuple[Entry, Terms]], removed: Iterable[str] = ()) -> Counter[str]:
        """Remove by id, add (the same id replaces), commit; all of it or nothing, and seen by every search that begins later. How
        many were "added", "replaced", "unchanged" and "removed". Raises `InvalidMemory` where another process writes."""
        with self._lock:
            writer = self._writing()
            done: Counter[str] = Counter()
            new: dict[str, Entry] = {}
            counted = np.zeros(WIDTH, dtype=np.int32)
            try:
                for id in dict.fromkeys(removed):
                    if (known := self.get(id)) is not None:
                        writer.delete_documents_by_term("id", id)
                        counted[columns(known.terms)] -= 1
                        done["removed"] += 1
                for entry, terms in entries:
                    known = new.get(entry.id) or self.get(entry.id)
                    if known is not None and entry.says_the_same_as(known):
                        done["unchanged"] += 1
                        continue
                    if known is not None:
                        writer.delete_documents_by_term("id", entry.id)
                        counted[columns(known.terms)] -= 1
                    writer.add_document(_document(entry, terms))
                    counted[columns(entry.terms)] += 1
                    done["added" if known is None else "replaced"] += 1
                    new[entry.id] = entry
                if done.total() > done["unchanged"]:
                    writer.commit()
            except BaseException:
                writer.rollback()
                raise
            self._counts = self._counts + counted  # a new array: searches go on with the old one
            self._fresh()
            if len(self) >= COUNTED_FROM and abs(len(self) - self._counted) > DRIFT * len(self):
                self._write_counts()
            return done

    def search(self, terms: Terms, count: int) -> list[Entry]:
        """The `count` entries that share the most telling terms (BM25), best first."""
        searcher = self._fresh()
        chosen = self._telling(terms, searcher.num_docs)
        if not chosen or count < 1:
            return []
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "terms", term, "freq")) for term in chosen]
        )
        addresses = [address for _, address in searcher.search(query, count, count=False).hits]
        serials = searcher.fast_field_values("serial", addresses)
        return [self._known(searcher, serial, address) for serial, address in zip(serials, addresses, strict=True)]

    def get(self, id: str) -> Entry | None:
        """The entry with the id."""
        searcher = self._fresh()
        if not searcher.num_docs:
            return None
        query = tantivy.Query.term_query(self._schema, "id", id, "basic")
        return next((_entry(searcher.doc(address)) for _, address in searcher.search(query, 1, count=False).hits), None)

    def sample(self, count: int) -> list[Entry]:
        """`count` entries, or all, picked at random but the same every time from the same index."""
        searcher = self._fresh()
        entries = searcher.num_docs
        if not entries:
            return []
        hits = searcher.search(tantivy.Query.all_query(), entries, count=False).hits
        picked = np.sort(np.random.default_rng(0).permutation(entries)[:count])
        return [_entry(searcher.doc(hits[place][1])) for place in picked]

    def tagged(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """How many entries have each tag (those just removed may count still)."""
        searcher = self._fresh()
        of, counted = self._tagged
        if of is not searcher:
            self._tagged = searcher, (counted := {})
        for tag in tags:
            if tag not in counted:
                counted[tag] = searcher.doc_freq("tags", tag)
        return np.array([counted[tag] for tag in tags], dtype=np.int64)

    def tags(self) -> Counter[str]:
        """Every tag, and how many entries have it (see `tagged`)."""
        return Counter(dict(self._fresh().terms_with_prefix("tags", "")))

    def rarity(self, places: Packed) -> NDArray[np.float64]:
        """ln((N + 1) / (n + 1)) + 1 for each column, of N entries, n of them with the term: the smoothed idf of scikit-learn."""
        found = np.maximum(self._counts[places], 0)
        rarity: NDArray[np.float64] = np.log((self._searcher.num_docs + 1) / (found + 1)).clip(min=0) + 1
        return rarity

    def close(self) -> None:
        """Let others write."""
        with self._lock:
            if self._writer is not None:
                if len(self) >= COUNTED_FROM:
                    self._write_counts()
                self._writer.wait_merging_threads()
                self._writer = None

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                self._writer = self._index.writer(HEAP_BYTES, 1)
            except ValueError as error:
                reason = "another process writes to this memory; let it finish, or add through it"
                if "Lock" not in str(error):
                    reason = str(error)
                raise InvalidMemory(f"{self.directory}: {reason}") from error
        return self._writer

    def _known(self, searcher: tantivy.Searcher, serial: Any, address: tantivy.DocAddress) -> Entry:
        """The entry at an address, which moves with every merge; its serial number stays, and what it is never changes."""
        if (entry := self._read.get(serial)) is None:
            entry = _entry(searcher.doc(address))
            if len(self._read) >= KEPT_READ:
                self._read = {}
            self._read[serial] = entry
        return entry

    def _telling(self, terms: Terms, entries: int) -> list[str]:
        """The rarest terms that any entry has, words before letters of 4; no more than are read in good time."""
        counts = self._counts
        chosen: list[str] = []
        postings = 0
        for group in (terms.words, [term for term in terms.letters if len(term) == 4 + len(LETTER_MARK)]):
            standing = counts[np.fromiter(map(column, group), dtype=np.int64, count=len(group))].tolist()
            for found, term in sorted(zip(standing, group, strict=True)):
                if found < 1:
                    continue
                postings += min(found, entries)
                if len(chosen) >= FEWEST_TERMS and (postings > MOST_POSTINGS or len(chosen) >= MOST_TERMS):
                    break
                chosen.append(term)
        return chosen

    def _fresh(self) -> tantivy.Searcher:
        """A searcher over what was committed last, by whatever process."""
        try:
            status = os.stat(self.directory / "meta.json")
        except OSError as error:
            raise InvalidMemory(f"{self.directory}: the index is gone: {error.strerror}") from error
        if (changed := (status.st_ino, status.st_mtime_ns)) != self._seen:
            with self._lock:
                self._index.reload()
                self._searcher = self._index.searcher()
                self._seen = changed
                if self._writer is None:
                    self._read_counts()
        return self._searcher

    def _read_counts(self) -> None:
        entries = self._searcher.num_docs
        if self._counted >= 0 and abs(entries - self._counted) <= DRIFT * entries:
            return
        try:
            with np.load(self.directory / COUNTS_FILE, allow_pickle=False) as saved:
                counts, counted = saved["counts"], int(saved["entries"])
            if counts.shape == (WIDTH,) and abs(entries - counted) <= DRIFT * entries:
                self._counts, self._counted = counts.astype(np.int32), counted
                return
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        self._counts, self._counted = self._recounted(), entries

    def _recounted(self) -> NDArray[np.int32]:
        counts = np.zeros(WIDTH, dtype=np.int32)
        for term, found in self._searcher.terms_with_prefix("terms", ""):
            counts[column(term)] += found
        return counts

    def _write_counts(self) -> None:
        entries = len(self)
        scratch = self.directory / f"{COUNTS_FILE}.new"
        with scratch.open("wb") as file:
            np.savez_compressed(file, counts=self._counts, entries=entries)
        scratch.replace(self.directory / COUNTS_FILE)
        self._counted = entries


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("tags", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("serial", fast=True)
    for name in ("group", "packed", "content"):
        builder.add_bytes_field(name, stored=True)
    return builder.build()


def _document(entry: Entry, terms: Terms) -> tantivy.Document:
    document = tantivy.Document()
    document.add_text("id", entry.id)
    document.add_text("terms", " ".join([*terms.words.elements(), *terms.letters.elements()]))
    for tag in entry.tags:
        document.add_text("tags", tag)
    document.add_bytes("group", entry.group.encode())
    document.add_bytes("content", entry.content)
    document.add_bytes("packed", entry.terms.astype("<u4").tobytes())
    document.add_unsigned("serial", secrets.randbits(63))
    return document


def _entry(document: tantivy.Document) -> Entry:
    def data(field: str) -> bytes:
        return bytes(document.get_first(field) or b"")

    return Entry(
        id=str(document.get_first("id")),
        group=data("group").decode(),
        tags=tuple(document.get_all("tags")),
        terms=np.frombuffer(data("packed"), dtype="<u4"),
        content=data("content"),
    )


def entry_of(listing: Listing, tags: Iterable[str], group: str, terms: Terms) -> Entry:
    """The entry of a listing with these terms; one without a group is its own."""
    content = json.dumps([listing.title, listing.description, listing.attributes, listing.language], ensure_ascii=False)
    return Entry(listing.id, group or listing.id, tuple(tags), pack(terms), content.encode())
