"""The parts of an answer as numbers, for tables. It knows their order, and nothing of what may come in them."""

from __future__ import annotations

from hangtag.state import AtEnd, Done, InExplanation, InQuotation, InTags

TAGS, EXPLANATION, QUOTATION, END, DONE = range(5)
PHASES = {InTags: TAGS, InExplanation: EXPLANATION, InQuotation: QUOTATION, AtEnd: END, Done: DONE}
