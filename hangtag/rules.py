"""`AnswerRules`: what an answer must keep to, whatever the model wants. It knows numbers and indexes of tags, no trie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hangtag.errors import InvalidRules

MOST_TAGS = 50
MOST_EXPLANATION_TOKENS = 256
MOST_EXCLUSIVE = 100
"""Tags in one group of exclusions; for larger groups there are facets."""


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Limits of an answer; tags are named by their index in the vocabulary. A tag stands at most once in every answer.

    banned: tags that never come
    only: the only tags that may come; None for all
    facet_limits: facet -> the most tags of it
    exclusions: groups of tags of which at most one may come
    parent_or_child: a tag and its parent never both come

    Raises `InvalidRules`: max below min, negative numbers, more than MOST_TAGS tags, MOST_EXPLANATION_TOKENS tokens or
    MOST_EXCLUSIVE tags in a group of exclusions.
    """

    min_tags: int = 1
    max_tags: int = 5
    explain: bool = True
    max_explanation_tokens: int = 64
    banned: frozenset[int] = frozenset()
    only: frozenset[int] | None = None
    facet_limits: Mapping[str, int] = field(default_factory=dict)
    exclusions: tuple[frozenset[int], ...] = ()
    parent_or_child: bool = False

    def __post_init__(self) -> None:
        if self.min_tags < 0:
            raise InvalidRules(f"min_tags is {self.min_tags}; it can't be negative", field="min_tags")
        if self.min_tags > MOST_TAGS:
            raise InvalidRules(f"min_tags is {self.min_tags}; it can't be over {MOST_TAGS}", field="min_tags")
        if not 1 <= self.max_tags <= MOST_TAGS:
            raise InvalidRules(f"max_tags is {self.max_tags}; it must be between 1 and {MOST_TAGS}", field="max_tags")
        if self.max_tags < self.min_tags:
            raise InvalidRules(f"max_tags ({self.max_tags}) is below min_tags ({self.min_tags})", field="max_tags")
        if not 2 <= self.max_explanation_tokens <= MOST_EXPLANATION_TOKENS:
            raise InvalidRules(
                f"max_explanation_tokens is {self.max_explanation_tokens}; it must be between 2 and {MOST_EXPLANATION_TOKENS}",
                field="max_explanation_tokens",
            )
        for facet, limit in self.facet_limits.items():
            if limit < 0:
                raise InvalidRules(f"the limit of the facet {facet!r} is {limit}; it can't be negative", field="facet_limits")
        for group in self.exclusions:
            if len(group) > MOST_EXCLUSIVE:
                raise InvalidRules(
                    f"a group of exclusions has {len(group)} tags, at most {MOST_EXCLUSIVE} are possible; put them in a facet and"
                    " limit it to 1",
                    field="exclusions",
                )

    def check_against(self, tags: int) -> None:
        """Raises `InvalidRules` where a vocabulary of `tags` tags has fewer than are asked for, or not those that are named."""
        if max(self.min_tags, self.max_tags) > tags:
            name = "min_tags" if self.min_tags > tags else "max_tags"
            raise InvalidRules(f"{name} is {getattr(self, name)}, but the vocabulary has only {tags} tags", field=name)
        for name, tag in self._named():
            if not 0 <= tag < tags:
                raise InvalidRules(f"{name} names tag {tag}, the vocabulary has {tags} tags", field=name)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for rules that leave the same tags; what tags under rules are remembered by."""
        limits = tuple(sorted(self.facet_limits.items()))
        return self.min_tags, self.banned, self.only, limits, self.exclusions, self.parent_or_child

    def _named(self) -> Iterator[tuple[str, int]]:
        yield from (("banned", tag) for tag in self.banned)
        yield from (("only", tag) for tag in self.only or ())
        yield from (("exclusions", tag) for group in self.exclusions for tag in group)
