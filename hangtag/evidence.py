"""`Evidence`: the words of a listing that state a tag, so that a reason can quote them rather than others. It knows texts, no
tokens and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hangtag.explanation import CLOSE_QUOTE, OPEN_QUOTE
from hangtag.listing import Listing
from hangtag.text import is_han, is_word_boundary

UNQUOTABLE = frozenset(f'{OPEN_QUOTE}{CLOSE_QUOTE}<"')


@dataclass(frozen=True, slots=True)
class Evidence:
    """Index of a tag -> a span of the listing, as it is written, that states it; and the nats by which an open quotation leans
    towards the spans of the answer's own tags. It allows nothing that could not be quoted without it."""

    spans: Mapping[int, str] = field(default_factory=dict)
    weight: float = 0.0


def stated_span(listing: Listing, wordings: Iterable[str]) -> str:
    """The first place of the listing, as it is written, where the longest of the wordings stands as whole words, case
    folded; "" if none does. A single ideograph states nothing: it is a part of too many words."""
    lines = [(line, line.lower()) for line in listing.quotable()]
    for wording in sorted(wordings, key=len, reverse=True):
        if len(wording) == 1 and is_han(wording):
            continue
        sought = wording.lower()
        for line, folded in lines:
            start = folded.find(sought) if len(folded) == len(line) else -1
            while start >= 0:
                span, end = line[start : start + len(sought)], start + len(sought)
                if is_word_boundary(line, start) and is_word_boundary(line, end) and not UNQUOTABLE.intersection(span):
                    return span
                start = folded.find(sought, start + 1)
    return ""
