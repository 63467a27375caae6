"""Tagged listings for tests of the memory: written by hand, and made up in any number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from tests.fakes import vocabulary_of

MATERIALS = ("Linen", "Cotton", "Silk", "Wool")
THINGS = ("Shirts", "Shoes", "Scarves", "Socks")


@dataclass(frozen=True)
class Tagged:
    """A tagged listing, as `serve.memory.TaggedListing` has it."""

    listing: Listing
    tags: tuple[str, ...]
    product_id: str = ""


def row(id: str, title: str, *tags: str, product: str = "", description: str = "") -> Tagged:
    return Tagged(Listing(title, description, id=id), tags, product)


def vocabulary() -> TagVocabulary:
    return vocabulary_of(*MATERIALS, *THINGS, "耳机", "主动降噪", name="shop")


def shop(count: int) -> Sequence[Tagged]:
    """Listings whose wording says something of their tags without naming them."""
    words = dict(
        zip((*MATERIALS, *THINGS), ("airy", "washed", "glossy", "warm", "collar", "laces", "fringe", "heel"), strict=True)
    )
    rows = []
    for number in range(count):
        material, thing = MATERIALS[number % 4], THINGS[number // 4 % 4]
        rows.append(row(f"shop-{number}", f"{words[thing]} {words[material]} model {number % 7}", material, thing))
    return rows
