"""Which tags of an answer the prior brought about, and what would have come without it. It knows tokens, those that were chosen
and those that would have won, and no logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hangtag.constraint import AnswerConstraint
from hangtag.state import InTags
from hangtag.trie import ROOT


@dataclass(frozen=True, slots=True)
class TagInfluence:
    """A tag of an answer, by its index in the vocabulary like all tags here, given the tags before it.

    instead: where the prior changed the way to the tag, the tags of which one would have come without it
    would_end: without the prior the answer would have had no further tag
    """

    tag: int
    instead: tuple[int, ...] = ()
    would_end: bool = False

    @property
    def is_due_to_prior(self) -> bool:
        """Whether the prior is the reason for the tag: without it, the model would have done something else."""
        return bool(self.instead) or self.would_end


def prior_influence(constraint: AnswerConstraint, ids: Sequence[int], unbiased: Sequence[int]) -> list[TagInfluence]:
    """One for each tag, in the order of the answer. `ids` are an answer of `constraint`, `unbiased` the tokens that would have
    won without the prior, as many. Of several branches that the prior changed on the way to a tag the first counts: without the
    prior, the model would not have come to the others."""
    assert len(ids) == len(unbiased), "the engine says for each token which would have won"
    found: list[TagInfluence] = []
    state = constraint.start()
    instead: tuple[int, ...] = ()
    would_end = changed = False
    for token, other in zip(ids, unbiased, strict=True):
        if not isinstance(state, InTags):
            break
        if token != other and not changed:
            instead = tuple(constraint.tags_behind(state, other))
            would_end = not instead
            changed = True
        following = constraint.advance(state, token)
        if isinstance(following, InTags) and following.node == ROOT:
            found.append(TagInfluence(constraint.tags(following)[-1], instead, would_end))
            instead, would_end, changed = (), False, False
        state = following
    return found
