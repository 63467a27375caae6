"""Products by their tags, in tantivy, in memory: found by weighted tags. It knows neither listings nor users, and keeps nothing
on disk: whoever fills it can fill it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from threading import RLock

import tantivy

IN_STOCK, SOLD_OUT = "in stock", "sold out"
HEAP_BYTES = 128 * 1024 * 1024
MOST_POSTINGS = 500_000
"""Products that the tags of a query stand for, all together: bounds the time of a search, however many products there are."""

FEWEST_TAGS = 3
"""Asked for even if they stand for more than MOST_POSTINGS."""


@dataclass(frozen=True, slots=True)
class TaggedProduct:
    """A product's id and the ids of its tags."""

    id: str
    tags: tuple[str, ...]
    in_stock: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A product, and the sum of the weights of the tags that it shares with a query."""

    product: TaggedProduct
    score: float


class ProductIndex:
    """Products by tag. Any number of threads may search while one after another writes; what was written is found by every search
    that begins later."""

    def __init__(self) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("tags", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("state", stored=True, tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema)
        self._lock = RLock()
        self._writer = self._index.writer(HEAP_BYTES, 1)
        self._searcher = self._index.searcher()

    def __len__(self) -> int:
        return self._searcher.num_docs

    def put(self, products: Iterable[TaggedProduct], removed: Iterable[str] = ()) -> None:
        """Remove by id, add (the same id replaces); all of it or nothing."""
        with self._lock:
            known = len(self) > 0
            try:
                for id in removed:
                    self._writer.delete_documents_by_term("id", id)
                for product in products:
                    if known:
                        self._writer.delete_documents_by_term("id", product.id)
                    self._writer.add_document(_document(product))
                self._writer.commit()
            except BaseException:
                self._writer.rollback()
                raise
            self._index.reload()
            self._searcher = self._index.searcher()

    def get(self, id: str) -> TaggedProduct | None:
        """The product with the id."""
        searcher = self._searcher
        query = tantivy.Query.term_query(self._schema, "id", id, "basic")
        return next((_product(searcher.doc(address)) for _, address in searcher.search(query, 1, count=False).hits), None)

    def rarity(self, tag: str) -> float:
        """ln((N + 1) / (n + 1)), of N products, n of them with the tag: inverse document frequency."""
        searcher = self._searcher
        return log((searcher.num_docs + 1) / (searcher.doc_freq("tags", tag) + 1))

    def having(self, tag: str) -> int:
        """How many products have the tag (those just replaced may count still)."""
        return int(self._searcher.doc_freq("tags", tag))

    def search(
        self, weights: Mapping[str, float], count: int, *, without: Collection[str] = (), in_stock: bool = False
    ) -> list[Found]:
        """The `count` products with the largest sum of the weights of their tags, best first; none of `without` (ids), and only
        those in stock where that is asked. Weights that are not positive are passed over; of many tags those that tell most are
        used (MOST_POSTINGS)."""
        searcher = self._searcher
        wanted = self._telling(searcher, weights)
        if not wanted or count < 1:
            return []
        clauses = [(tantivy.Occur.Should, self._weighted(*pair)) for pair in wanted]
        if in_stock:  # what is left out is little: a list of what is in stock would be as long as the catalogue
            clauses.append((tantivy.Occur.MustNot, tantivy.Query.term_query(self._schema, "state", SOLD_OUT, "basic")))
        query = tantivy.Query.boolean_query(clauses)
        most = count + len(without)  # passing over some hits is ten times quicker than a query that excludes them
        asked = min(most, 2 * count)
        while True:
            hits = searcher.search(query, asked, count=False).hits
            found = (Found(_product(searcher.doc(address)), float(score)) for score, address in hits)
            left = list(islice((each for each in found if each.product.id not in without), count))
            if len(left) == count or len(hits) < asked or asked == most:
                return left
            asked = min(most, 4 * asked)

    def _weighted(self, tag: str, weight: float) -> tantivy.Query:
        return tantivy.Query.const_score_query(tantivy.Query.term_query(self._schema, "tags", tag, "basic"), weight)

    @staticmethod
    def _telling(searcher: tantivy.Searcher, weights: Mapping[str, float]) -> Sequence[tuple[str, float]]:
        chosen: list[tuple[str, float]] = []
        postings = 0
        for tag, weight in sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])):
            if weight <= 0:
                break
            found = searcher.doc_freq("tags", tag)
            postings += found
            if len(chosen) >= FEWEST_TAGS and postings > MOST_POSTINGS:
                break
            if found:
                chosen.append((tag, weight))
        return chosen


def _document(product: TaggedProduct) -> tantivy.Document:
    document = tantivy.Document()
    document.add_text("id", product.id)
    for tag in product.tags:
        document.add_text("tags", tag)
    document.add_text("state", IN_STOCK if product.in_stock else SOLD_OUT)
    return document


def _product(document: tantivy.Document) -> TaggedProduct:
    return TaggedProduct(str(document.get_first("id")), tuple(document.get_all("tags")), document.get_first("state") == IN_STOCK)
