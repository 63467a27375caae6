"""The tables of the store, as they are now; `migrations` has how they came about. They know columns, no values' meaning.

Times are microseconds since 1970, UTC. Lists and objects are JSON in text, read by Python only. Everything of a user hangs on its
row in `users` and goes with it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

MOST_NAME = 256
"""Characters of a tenant, a user, a product, an idempotency key."""

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER

users = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("tenant", String(MOST_NAME), nullable=False),
    Column("name", String(MOST_NAME), nullable=False),  # as handed in, or its keyed hash
    Column("recent", Text, nullable=False, server_default="[]"),  # [type, at, tags] of each event that is not in the sums
    UniqueConstraint("tenant", "name"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("tags", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("sums", LargeBinary, nullable=False),  # (tags, hangtag.decay.TERMS), little-endian doubles
)

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("key", LargeBinary(16), nullable=False),  # what repeated events share
    Column("content", LargeBinary(16), nullable=False),  # what equal events share
    Column("type", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("product", String(MOST_NAME), nullable=False),
    Column("tags", Text, nullable=False),
    UniqueConstraint("user_id", "key"),
    Index("events_by_time", "at"),
    Index("events_by_product", "user_id", "product"),
)

tag_users = Table(
    "tag_users",
    metadata,
    Column("tenant", String(MOST_NAME), primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("users", Integer, nullable=False),
)
"""How many users of a tenant have a tag; the tag "" counts all its users that have any."""

products = Table(
    "products",
    metadata,
    Column("tenant", String(MOST_NAME), primary_key=True),
    Column("product", String(MOST_NAME), primary_key=True),
    Column("listing", Text, nullable=False),  # [title, description, attributes, language]
    Column("tags", Text, nullable=False),
    Column("in_stock", Boolean, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Index("products_by_change", "tenant", "changed"),
)

learned_tags = Table(
    "learned_tags",
    metadata,
    Column("tenant", String(MOST_NAME), primary_key=True),
    Column("product", String(MOST_NAME), primary_key=True),
    Column("tags", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Of products that are in no catalogue: what was suggested for them, or what became of it."""

suggestions = Table(
    "suggestions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(MOST_NAME), nullable=False),
    Column("product", String(MOST_NAME), nullable=False),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE")),  # whom it was for
    Column("listing", Text, nullable=False),
    Column("suggested", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("suggestions_by_time", "at"),
    Index("suggestions_by_user", "user_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("suggestion", String(32), ForeignKey("suggestions.id", ondelete="CASCADE"), primary_key=True),
    Column("accepted", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("added", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
