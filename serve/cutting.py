"""Listings that do not fit, cut where a reader would: it knows sentences and words, and no model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from hangtag.errors import InvalidListing
from hangtag.listing import Listing
from hangtag.text import is_word_boundary, sentence_ends

LONGEST_PIECE = 100
"""Characters of a sentence after which a listing that does not fit may also be cut."""


def cut_listing(listing: Listing, fits: Callable[[Listing], bool]) -> Listing:
    """The listing itself if it fits, else the longest of its beginnings that does: the title up to the end of a sentence, then
    whole attributes, then the description up to the end of a sentence; of a long sentence up to the end of a word. Raises
    `InvalidListing` where not even the first fits.
    """
    if fits(listing):
        return listing
    title, attributes, description = listing.title, listing.attributes, listing.description
    beginnings = [(end, 0, 0) for end in _text_ends(title)]
    beginnings += [(len(title), count + 1, 0) for count, (_, value) in enumerate(attributes) if value.strip()]
    beginnings += [(len(title), len(attributes), end) for end in _text_ends(description)]

    def beginning(position: int) -> Listing:
        title_end, count, end = beginnings[position]
        return replace(listing, title=title[:title_end], attributes=attributes[:count], description=description[:end])

    fitting = bisect_left(range(len(beginnings)), True, key=lambda position: not fits(beginning(position)))  # lengths ascend
    if fitting == 0:
        raise InvalidListing(
            "not even the first sentence of the listing fits the model's context; send a shorter one", field="title"
        )
    return beginning(fitting - 1)


def _text_ends(text: str) -> list[int]:
    """The ends of the sentences of `text` that have something in them; one of more than LONGEST_PIECE characters also ends
    between words, since some texts have no full stop at all."""
    begun = len(text) - len(text.lstrip())
    ends = []
    for end in sentence_ends(text):
        while end - begun > LONGEST_PIECE:
            latest = begun + LONGEST_PIECE
            begun = next((offset for offset in range(latest, begun, -1) if is_word_boundary(text, offset)), latest)
            ends.append(begun)
        if end > begun:
            ends.append(end)
            begun = end
    return ends


def cut_notice(whole: Listing, cut: Listing) -> str:
    """What is said of a listing that was cut."""
    return (
        f"only {len(cut.text()):,} of the listing's {len(whole.text()):,} characters were read:"
        " the rest does not fit the model's context"
    )
