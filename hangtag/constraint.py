"""`AnswerConstraint`: the state machine that says which token may come next, the definition that every faster form is held to.
It knows ids and rules; it knows no logits and no engine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hangtag.compiled import CompiledVocabulary
from hangtag.errors import InvalidRules
from hangtag.evidence import Evidence
from hangtag.explanation import CLOSING, DEAD, OPEN, TEXT
from hangtag.masks import Scratch, Words
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText, is_free
from hangtag.rules import AnswerRules
from hangtag.state import AtEnd, Done, InExplanation, InQuotation, InTags, State, made
from hangtag.trie import ROOT


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """The tokens that may come next, and what the prior adds to the logit of each: (K,) int32 and (K,) float32."""

    tokens: NDArray[np.int32]
    bias: NDArray[np.float32]


class AnswerConstraint:
    """The state machine of one answer: begin with `start()`, ask `allowed` or `mask`, `advance` by the token that was chosen.

    No place of the listing is quoted twice. There is no dead end: in every state that `advance` can reach (Done excepted) at
    least one token is allowed. Over the tokens of a tag, its separator included, the prior's biases add up to exactly the
    tag's weight: each branch gets the best weight that can still be reached below it, less what the branches above it got.
    """

    def __init__(
        self,
        compiled: CompiledVocabulary,
        rules: AnswerRules,
        quotable: QuotableText,
        prior: TagPrior | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        self.compiled = compiled
        self.rules = rules
        self.quotable = quotable
        self.grammar = quotable.grammar
        self.evidence = evidence or Evidence()
        self._after = self.grammar.after.data
        self._separator = compiled.separator_id
        self._closing_left = self.grammar.closing_left[0]
        self.branches = compiled.branches(rules)
        self.ruled = self.branches.ruled
        self.trie = self.ruled.trie
        assert self.grammar.tokenizer_hash == compiled.tokenizer_hash, "the grammar is another tokenizer's"
        weights = prior.weights if prior is not None else {}
        for tag in weights:
            if not 0 <= tag < len(compiled):
                raise InvalidRules(f"the prior names tag {tag}, the vocabulary has {len(compiled)} tags", field="prior")
        by_leaf = sorted((int(self.trie.tag_leaf[tag]), weight) for tag, weight in weights.items() if weight != 0)
        self.prior_leaves = [leaf for leaf, _ in by_leaf if leaf >= 0]
        self.prior_weights = [weight for leaf, weight in by_leaf if leaf >= 0]
        if rules.explain:
            quotable.shortest(0)  # reads the listing, which is not for within a step

    def start(self) -> State:
        """The state before the first token."""
        counts = (0,) * len(self.ruled.limits)
        return InTags(counts=counts, closed=self.ruled.closed(counts, 0))

    def allowed(self, state: State) -> Allowed:
        """The tokens that may follow `state`."""
        if isinstance(state, InTags):
            return self._allowed_tags(state)
        if isinstance(state, InQuotation):
            return self._allowed_quotation(state)
        if isinstance(state, InExplanation):
            return _unbiased(self.grammar.tokens(state.text, state.left, self._may_open(state)))
        assert isinstance(state, AtEnd), "nothing follows the end"
        return _unbiased([self.compiled.eos_id])

    def mask(self, state: State, scratch: Scratch) -> Words:
        """`allowed` as a packed mask, (ceil(tokens / 32),): a stored one, not to be written to, or `scratch`, which the next call
        overwrites. Scratches belong to one caller each."""
        if isinstance(state, InTags):
            node, used, out, _, closed = state
            if node != ROOT:
                return self.branches.mask(node, closed, out, self._separator, scratch)
            if len(used) == self.rules.max_tags:
                return scratch.write_one(self._separator)
            separator = self._separator if len(used) >= self.rules.min_tags else None
            return self.branches.mask(node, closed, out, separator, scratch)
        if isinstance(state, InExplanation):
            return self.grammar.mask(state.text, state.left, self._may_open(state))
        if isinstance(state, InQuotation):
            return self._mask_of_quotation(state, scratch)
        assert isinstance(state, AtEnd), "nothing follows the end"
        return scratch.write([self.compiled.eos_id])

    def advance(self, state: State, token: int) -> State:
        """The state after `token`, which must be one of those allowed."""
        if isinstance(state, InTags):
            return self._advance_tags(state, token)
        if token == self.compiled.eos_id:
            return Done(state.used)
        if isinstance(state, InQuotation):
            return self._advance_quotation(state, token)
        assert isinstance(state, InExplanation), f"token {token} after the end"
        text: int = self._after[state.text, token]
        assert text != DEAD, f"token {token} is not allowed"
        if text == OPEN:
            return InQuotation(state.used, state.left - 1, state.spent, self.quotable.starts)
        return made(InExplanation, (state.used, state.left - 1, text, state.spent))

    def replay(self, tokens: Iterable[int]) -> State:
        """The state after `tokens` from the start."""
        state = self.start()
        for token in tokens:
            state = self.advance(state, token)
        return state

    def tags(self, state: State) -> tuple[int, ...]:
        """The tags that stand in the answer, by their index in the vocabulary."""
        return tuple(int(self.trie.leaf_tag[leaf]) for leaf in state.used)

    def tags_behind(self, state: InTags, token: int) -> list[int]:
        """The tags that may still come after `token`, by their index in the vocabulary: where `token` is what the model would
        have chosen without the prior, one of them would have won this branch. Empty for a separator that ends the tags."""
        if token == self.compiled.separator_id:
            return [] if state.node == ROOT else [int(self.trie.leaf_tag[self.trie.leaf_start[state.node]])]
        child = self.branches.child(state.node, token)
        leaves = range(int(self.trie.leaf_start[child]), int(self.trie.leaf_end[child]))
        return [int(self.trie.leaf_tag[leaf]) for leaf in leaves if self.branches.is_open(leaf, state.closed, state.out)]

    def weight(self, leaf: int) -> float:
        """The prior's weight of the tag of a leaf."""
        position = bisect_left(self.prior_leaves, leaf)
        return self.prior_weights[position] if self.prior_leaves[position : position + 1] == [leaf] else 0.0

    def _may_separate(self, state: InTags) -> bool:
        if state.node == ROOT:
            return len(state.used) >= self.rules.min_tags
        leaf = self.branches.ending(state.node)
        return leaf >= 0 and self.branches.is_open(leaf, state.closed, state.out)

    def _allowed_tags(self, state: InTags) -> Allowed:
        node = state.node
        full = node == ROOT and len(state.used) == self.rules.max_tags
        edges = np.empty(0, np.int32) if full else self.branches.edges(node, state.closed, state.out)
        got = 0.0 if node == ROOT else self._best(node, state)
        bias = np.full(len(edges), -got)
        for child, best in self._best_children(state):
            bias[np.searchsorted(edges, child - 1)] = best - got
        tokens = self.trie.edge_token[edges]
        if self._may_separate(state):
            end = 0.0 if node == ROOT else self.weight(int(self.trie.leaf_start[node])) - got
            tokens, bias = np.append(tokens, np.int32(self.compiled.separator_id)), np.append(bias, end)
        return Allowed(tokens, bias.astype(np.float32))

    def _best(self, node: int, state: InTags) -> float:
        """The best weight of a tag below `node` that may still come; there must be one."""
        leaves = self._weighted(int(self.trie.leaf_start[node]), int(self.trie.leaf_end[node]), state)
        weights = [self.prior_weights[position] for position in leaves]
        if len(weights) < self.branches.open_leaves(node, state.closed, state.out):
            weights.append(0.0)
        return max(weights)

    def _best_children(self, state: InTags) -> Iterator[tuple[int, float]]:
        """The open children of a node below which there are tags with a weight, and the best weight there."""
        if state.node == ROOT and len(state.used) == self.rules.max_tags:
            return
        low, high, seen = int(self.trie.leaf_start[state.node]), int(self.trie.leaf_end[state.node]), state.node
        for position in self._weighted(low, high, state):
            child = self.branches.child_with(state.node, self.prior_leaves[position])
            if child != seen and child != state.node:
                seen = child
                yield child, self._best(child, state)

    def _weighted(self, low: int, high: int, state: InTags) -> list[int]:
        """Positions in the prior of the leaves from `low` to `high` that may still come."""
        positions = range(bisect_left(self.prior_leaves, low), bisect_left(self.prior_leaves, high))
        return [p for p in positions if self.branches.is_open(self.prior_leaves[p], state.closed, state.out)]

    def _advance_tags(self, state: InTags, token: int) -> State:
        node, used, out, counts, closed = state
        if token != self._separator:
            return made(InTags, (self.branches.child(node, token), used, out, counts, closed))
        if node == ROOT:
            return InExplanation(used, self.rules.max_explanation_tokens + 1) if self.rules.explain else AtEnd(used)
        leaf = self.branches.ending(node)
        used = (*used, leaf)
        out = self._left_out(out, leaf)
        if self.ruled.class_limit:
            kind = int(self.ruled.leaf_class[leaf])
            limit = self.ruled.class_limit[kind] if kind >= 0 else -1
            if limit >= 0:
                counts = (*counts[:limit], counts[limit] + 1, *counts[limit + 1 :])
            closed = self.ruled.closed(counts, len(used))
        return InTags(ROOT, used, out, counts, closed)

    def _left_out(self, out: tuple[int, ...], leaf: int) -> tuple[int, ...]:
        if len(self.ruled.ruled_out):
            return tuple(sorted({*out, leaf, *self.ruled.rules_out(leaf)}))
        position = bisect_left(out, leaf)
        return (*out[:position], leaf, *out[position:])

    def _may_open(self, state: InExplanation) -> bool:
        return self.quotable.shortest(state.spent) + self._closing_left + 1 < state.left

    def _room(self, state: InQuotation) -> int:
        """The end of a span's word may be fewer tokens away."""
        return state.left - self._closing_left - 1

    def _tokens(self, state: InQuotation) -> tuple[list[int], bool]:
        """The tokens that go on with a span and leave enough others to close it, some of them more than once; and whether its end
        may begin here, or has begun."""
        room, spent, found = self._room(state), state.spent, list[int]()
        may_end = state.closing > 0
        for position in state.positions:
            way = self.quotable.steps_from(position)
            may_end |= way.may_end
            tokens = way.tokens
            if way.left >= room or (spent and not is_free(position, max(position, way.word_end), spent)):
                free = (step for step in way.steps if not spent or is_free(position, step.word_end, spent))
                tokens = [step.token for step in free if step.left < room]
            if tokens != found:  # the same wording at several positions goes on alike
                found = found + tokens
        return found, may_end and state.length > 0

    def _closing(self, state: InQuotation) -> list[int]:
        """The tokens that go on with the closing mark of a span that may end."""
        grammar, left = self.grammar, state.left - 1
        if grammar.longest_closing < left:
            return grammar.closers[state.closing]
        return [token for token, written in grammar.closing_tokens[state.closing] if grammar.closing_left[written] < left]

    def _allowed_quotation(self, state: InQuotation) -> Allowed:
        tokens, may_end = self._tokens(state)
        leads = dict.fromkeys(tokens, False)
        spans = list(self._spans_to_quote(state))
        room = self._room(state)
        for position in state.positions if spans else ():
            for token, end, word_end, left in self.quotable.steps_from(position).steps:
                if left < room and is_free(position, word_end, state.spent):
                    begun = (last for first, last in spans if (position > first if state.length else position == first))
                    leads[token] |= any(end <= last for last in begun)
        complete = any(last in state.positions for _, last in spans)
        for token in self._closing(state) if may_end else ():
            leads[token] = complete or leads.get(token, False)
        tokens = sorted(leads)
        bias = [self.evidence.weight * leads[token] for token in tokens]
        return Allowed(np.array(tokens, np.int32), np.array(bias, np.float32))

    def _mask_of_quotation(self, state: InQuotation, scratch: Scratch) -> Words:
        if state.length:
            tokens, may_end = self._tokens(state)
            return scratch.write(tokens + self._closing(state) if may_end else tokens)
        if state.spent or self._room(state) <= self.quotable.longest_first:
            return scratch.write_many(self.quotable.first_tokens(state.spent, self._room(state)))
        return self.quotable.first_mask

    def _spans_to_quote(self, state: InQuotation) -> Iterator[tuple[int, int]]:
        """Byte positions before and after the evidence for the answer's tags that is not quoted yet."""
        for tag in self.tags(state):
            if tag in self.evidence.spans:
                for start, end in self.quotable.occurrences(self.evidence.spans[tag]):
                    if is_free(start, end, state.spent):
                        yield start, end

    def _ends(self, state: InQuotation) -> tuple[int, ...]:
        """The positions at which the span may end."""
        return tuple(filter(self.quotable.may_end, state.positions)) if state.length else ()

    def _advance_quotation(self, state: InQuotation, token: int) -> State:
        spent = state.spent
        if state.length:
            reached = []
            for position in state.positions:
                way = self.quotable.steps_from(position).to.get(token)
                if way is not None and (not spent or is_free(position, way[1], spent)):
                    reached.append(way[0])
            positions = tuple(sorted(reached))
        else:
            positions = self.quotable.first_ends(token, spent)
        written = self.grammar.written[token]
        closing, ends = 0, state.ends
        if CLOSING.startswith(written, state.closing):
            ends = ends if state.closing else self._ends(state)
            closing = state.closing + len(written) if ends else 0
        assert positions or closing, f"token {token} continues no span of the listing"
        if closing < len(CLOSING):
            length = state.length + len(written)
            following = state.used, state.left - 1, state.spent, positions, length, closing, ends if closing else ()
            return made(InQuotation, following)
        length = state.length - state.closing
        for end in ends:
            spent |= ((1 << length) - 1) << (end - length)
        return InExplanation(state.used, state.left - 1, TEXT, spent)


def _unbiased(tokens: NDArray[np.int32] | Sequence[int]) -> Allowed:
    return Allowed(np.asarray(tokens, np.int32), np.zeros(len(tokens), np.float32))
