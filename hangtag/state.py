"""Where in an answer the next token stands, and all that decides what it may be. These are pure values; what they mean is
`hangtag.constraint`.

Leaves are those of the trie of the tags under rules. `spent` are the bytes of the listing that quotations cover, as bits.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from hangtag.explanation import START
from hangtag.trie import ROOT


class Phase(Enum):
    """The parts of an answer."""

    TAGS = "tags"
    EXPLANATION = "explanation"
    QUOTE = "quote"
    END = "end"
    """Only the end of sequence may come."""
    DONE = "done"


class InTags(NamedTuple):
    """At `node` of the trie. `used` are the leaves of the tags so far in their order, `out` those that can't come any more,
    ascending; `counts` is for each limited facet how many of its tags stand, `closed` are the classes that are closed, as bits.
    """

    node: int = ROOT
    used: tuple[int, ...] = ()
    out: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    closed: int = 0

    @property
    def phase(self) -> Phase:
        return Phase.TAGS


class InExplanation(NamedTuple):
    """Outside quotation marks. `text` is a state of the explanation's automaton, `left` are the tokens that may still come,
    the end included."""

    used: tuple[int, ...]
    left: int
    text: int = START
    spent: int = 0

    @property
    def phase(self) -> Phase:
        return Phase.EXPLANATION


class InQuotation(NamedTuple):
    """Inside quotation marks, `length` bytes of the listing written, which may end at the byte `positions` (before the first
    token: may begin there). `closing` bytes of the closing mark are written, after a span that ends at one of `ends`."""

    used: tuple[int, ...]
    left: int
    spent: int
    positions: tuple[int, ...]
    length: int = 0
    closing: int = 0
    ends: tuple[int, ...] = ()

    @property
    def phase(self) -> Phase:
        return Phase.QUOTE


class AtEnd(NamedTuple):
    """Nothing but the end of sequence may come."""

    used: tuple[int, ...]

    @property
    def phase(self) -> Phase:
        return Phase.END


class Done(NamedTuple):
    """The answer has its end."""

    used: tuple[int, ...]

    @property
    def phase(self) -> Phase:
        return Phase.DONE


made = tuple.__new__
"""`made(InTags, (node, used, ...))` is `InTags(node, used, ...)` in a third of the time, for those who make one a step."""
State = InTags | InExplanation | InQuotation | AtEnd | Done
