"""The merchant's products in the store: listing, tags, whether they are in stock. It knows rows, no vocabulary and no memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from hangtag.listing import Listing
from serve.store.tables import learned_tags, products
from serve.store.upsert import upsert

PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Product:
    """A product by its listing, whose `id` names it, and its tags by id. It has the form of `serve.memory.TaggedListing`."""

    listing: Listing
    tags: tuple[str, ...] = ()
    in_stock: bool = True

    @property
    def product_id(self) -> str:
        """The listing's id: a product is its own group."""
        return self.listing.id


def put(connection: Connection, tenant: str, given: Sequence[Product], now: int) -> None:
    """Add products, or change those that are there; of several with one id the last counts."""
    rows = {
        product.listing.id: {
            "tenant": tenant,
            "product": product.listing.id,
            "listing": write_listing(product.listing),
            "tags": json.dumps(product.tags),
            "in_stock": product.in_stock,
            "changed": now,
        }
        for product in given
    }
    ordered = [rows[name] for name in sorted(rows)]
    upsert(connection, products, ordered, keys=("tenant", "product"), replace=("listing", "tags", "in_stock", "changed"))


def get(connection: Connection, tenant: str, product: str) -> Product | None:
    """The product of this id."""
    row = connection.execute(_COLUMNS.where(products.c.tenant == tenant, products.c.product == product)).one_or_none()
    return _product(*row) if row is not None else None


def tagged(connection: Connection, tenant: str, since: int = 0) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Id, tags and whether it is in stock of each of these products, in the order of their ids; of those
    that were added or changed at `since` (µs) or later."""
    last = ""
    while True:
        wanted = _TAGGED.where(products.c.tenant == tenant, products.c.product > last, products.c.changed >= since)
        rows = connection.execute(wanted.order_by(products.c.product).limit(PAGE)).all()
        for id, tags, in_stock in rows:
            yield id, tuple(json.loads(tags)), in_stock
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def remove(connection: Connection, tenant: str, product: str) -> bool:
    """Delete the product and what was learned of it; whether there was either."""
    gone = 0
    for table in (products, learned_tags):
        gone += connection.execute(delete(table).where(table.c.tenant == tenant, table.c.product == product)).rowcount
    return gone > 0


_TAGGED = select(products.c.product, products.c.tags, products.c.in_stock)
_COLUMNS = select(products.c.product, products.c.listing, products.c.tags, products.c.in_stock)


def _product(name: str, listing: str, tags: str, in_stock: bool) -> Product:
    return Product(read_listing(listing, name), tuple(json.loads(tags)), in_stock)


def write_listing(listing: Listing) -> str:
    """The listing without its id; `read_listing` reads it."""
    return json.dumps([listing.title, listing.description, listing.attributes, listing.language])


def read_listing(text: str, name: str = "") -> Listing:
    """What `write_listing` wrote, with this id."""
    title, description, attributes, language = json.loads(text)
    return Listing(title, description, tuple((key, value) for key, value in attributes), language, name)
