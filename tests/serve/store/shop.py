"""A small shop: a vocabulary, a clock that stands still, products and events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hangtag.history import Event
from hangtag.listing import Listing
from serve.store import Product, UserEvent
from tests.fakes import vocabulary_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
VOCABULARY = vocabulary_of("Bluetooth", "Foldable", "Red", "Linen", "Headphones")
SHIRT = Product(Listing("Linen shirt", "For hot days.", (("fit", "relaxed"),), "en", "S1"), ("Linen", "Red"))
HEADPHONES = Product(Listing("Headphones", id="H1"), ("Bluetooth", "Headphones"), in_stock=False)
SHOP = "shop"


def did(user: str, type: str, *tags: str, hours: float = 1.0, product: str = "", key: str = "") -> UserEvent:
    """What a user did `hours` ago."""
    return UserEvent(user, Event(type, NOW - timedelta(hours=hours), tags, product), key)
