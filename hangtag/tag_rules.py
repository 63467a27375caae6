"""`TagRules`: what a merchant allows, by the ids of tags. It knows a vocabulary's ids and facets, and no trie; the same by
indexes, as decoding has it, are `AnswerRules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hangtag.errors import InvalidRules
from hangtag.rules import MOST_TAGS, AnswerRules
from hangtag.vocabulary import TagVocabulary

SHOWN_CHARACTERS = 80
SHOWN_FACETS = 20


@dataclass(frozen=True, slots=True)
class TagRules:
    """Ids as the vocabulary has them; a tag may be named more than once.

    banned: tags that never come
    only: the only tags that may come; None for all
    facet_limits: facet -> the most tags of it
    exclusions: groups of tags of which at most one may come
    parent_or_child: a tag and its parent never both come
    """

    banned: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    facet_limits: Mapping[str, int] = field(default_factory=dict)
    exclusions: tuple[tuple[str, ...], ...] = ()
    parent_or_child: bool = False

    def answer_rules(self, vocabulary: TagVocabulary, *, min_tags: int, max_tags: int, explain: bool) -> AnswerRules:
        """These rules and those numbers for one vocabulary. Raises `InvalidRules` with the place in these rules as its field
        ("banned[2]"): an id or a facet that does not exist, with what was probably meant; a group of fewer than two tags; what
        `AnswerRules` refuses."""
        for facet in self.facet_limits:
            if facet not in vocabulary.facets:
                known = ", ".join(vocabulary.facets[:SHOWN_FACETS]) or "it has none"
                more = ", …" if len(vocabulary.facets) > SHOWN_FACETS else ""
                raise InvalidRules(
                    f"facet_limits: the vocabulary {vocabulary.name!r} has no facet {_shown(facet)}; facets: {known}{more}",
                    field="facet_limits",
                )
        exclusions = []
        for position, group in enumerate(self.exclusions):
            exclusions.append(_tags(f"exclusions[{position}]", group, vocabulary))
            if len(exclusions[-1]) < 2:
                raise InvalidRules(
                    f"exclusions[{position}]: tags exclude each other, so a group has two of them at least; name another one",
                    field=f"exclusions[{position}]",
                )
        return AnswerRules(
            min_tags=min_tags,
            max_tags=max_tags,
            explain=explain,
            banned=_tags("banned", self.banned, vocabulary),
            only=None if self.only is None else _tags("only", self.only, vocabulary),
            facet_limits={facet: min(limit, MOST_TAGS) for facet, limit in self.facet_limits.items()},
            exclusions=tuple(exclusions),
            parent_or_child=self.parent_or_child,
        )


def _tags(place: str, ids: Iterable[str], vocabulary: TagVocabulary) -> frozenset[int]:
    found = set()
    for position, tag_id in enumerate(ids):
        if tag_id not in vocabulary:
            raise InvalidRules(
                f"{place}: the vocabulary {vocabulary.name!r} has no tag with the id {_shown(tag_id)};"
                f" {_hint(tag_id, vocabulary)}",
                field=f"{place}[{position}]",
            )
        found.add(vocabulary.index(tag_id))
    return frozenset(found)


def _hint(tag_id: str, vocabulary: TagVocabulary) -> str:
    near = vocabulary.nearest(tag_id)
    if near is None:
        return "rules name tags by their ids"
    tag = vocabulary.tags[near]
    return f"did you mean {tag.id!r} ({next(iter(tag.labels.values()))})?"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]!r}…"
