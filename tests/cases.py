"""Hypothesis strategies for constraints: vocabularies of prefixes, rules, priors, quotable listings."""

from __future__ import annotations

from hypothesis import strategies as st

from hangtag.answer import AnswerCodec
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidRules
from hangtag.evidence import Evidence
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from tests.fakes import codec_of

PIECES = ["a", "b", "ab", "亚", "麻", " x", "🎧", "é"]
WORDS = [
    *("ab", "aba", "亚麻", " x x", "ww", "w.", ":/", "/w", "](", "“", "”", "” and “"),
    *("the ", "\n\n", "b\n", "a“", "st", "\ufffd"),
]
LISTINGS = st.lists(st.text(alphabet="ab x亚麻🎧“”<w.:/](é\t", max_size=40), max_size=3)
LABEL = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map(lambda pieces: " ".join("".join(pieces).split()))


@st.composite
def codecs(draw: st.DrawFn, most: int = 12) -> AnswerCodec:
    """Vocabularies whose labels are prefixes of each other, over tokenizers whose words join as they like."""
    labels = list(dict.fromkeys(filter(None, draw(st.lists(LABEL, min_size=1, max_size=most))))) or ["a"]
    facets = draw(st.lists(st.sampled_from(["", "f", "g", "h"]), min_size=len(labels), max_size=len(labels)))
    tags = []
    for position, (label, facet) in enumerate(zip(labels, facets, strict=True)):
        above = draw(st.none() | st.integers(0, position - 1)) if position else None
        tags.append(Tag(label, {ANY_LANGUAGE: label}, facet, parent=labels[above] if above is not None else None))
    return codec_of(TagVocabulary("drawn", tags), draw(st.lists(st.sampled_from(WORDS), unique=True)))


@st.composite
def rules(draw: st.DrawFn, codec: AnswerCodec) -> AnswerRules:
    """Rules that leave an answer."""
    count = len(codec.vocabulary)
    tags = st.integers(0, count - 1)
    least = draw(st.integers(0, min(count, 4)))
    while True:
        try:
            made = AnswerRules(
                min_tags=least,
                max_tags=draw(st.integers(max(1, least), count)),
                explain=draw(st.booleans()),
                max_explanation_tokens=draw(st.sampled_from([2, 3, 5, 9, 40])),
                banned=draw(st.just(frozenset()) | st.frozensets(tags, max_size=2)),
                only=draw(st.none() | st.frozensets(tags, min_size=1)),
                facet_limits=draw(st.dictionaries(st.sampled_from(codec.compiled.facets or [""]), st.integers(0, 3), max_size=3))
                if codec.compiled.facets
                else {},
                exclusions=tuple(draw(st.lists(st.frozensets(tags, max_size=4), max_size=3))),
                parent_or_child=draw(st.booleans()),
            )
            codec.compiled.branches(made)
            return made
        except InvalidRules:
            if least == 0:
                return AnswerRules(min_tags=0, max_tags=1)
            least = 0


@st.composite
def constraints(draw: st.DrawFn, codec: AnswerCodec | None = None) -> AnswerConstraint:
    """Constraints with priors and evidence."""
    codec = codec or draw(codecs())
    tags = st.integers(0, len(codec.vocabulary) - 1)
    lines = draw(LISTINGS)
    words = [word for line in lines for word in line.split()] or ["a"]
    evidence = Evidence(draw(st.dictionaries(tags, st.sampled_from(words), max_size=3)), draw(st.sampled_from([0.0, 2.0])))
    prior = TagPrior(draw(st.dictionaries(tags, st.floats(-9, 9, width=32), max_size=4)))
    return AnswerConstraint(codec.compiled, draw(rules(codec)), QuotableText(lines, codec.grammar), prior, evidence)
