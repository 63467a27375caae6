"""`AnswerRules`, and the state machine that says which token may come next: the definition that every faster form is held to.
It knows ids and rules; it knows no logits and no engine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from hangtag.answer import AnswerCodec
from hangtag.errors import InvalidRules
from hangtag.evidence import Evidence
from hangtag.explanation import DEAD, OPEN, START, TEXT, UNREACHABLE
from hangtag.prior import TagPrior
from hangtag.quotes import CLOSING, QuotableText
from hangtag.trie import ROOT

MOST_TAGS = 50
MOST_EXPLANATION_TOKENS = 256


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What an answer must keep to, whatever the model wants. A tag stands at most once in every answer.

    Raises `InvalidRules`: max below min, negative numbers, more than MOST_TAGS tags or MOST_EXPLANATION_TOKENS tokens.
    """

    min_tags: int = 1
    max_tags: int = 5
    explain: bool = True
    max_explanation_tokens: int = 64

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

    def check_against(self, tags: int) -> None:
        """Raises `InvalidRules` where a vocabulary of `tags` tags has fewer than are asked for."""
        if max(self.min_tags, self.max_tags) > tags:
            field = "min_tags" if self.min_tags > tags else "max_tags"
            raise InvalidRules(f"{field} is {getattr(self, field)}, but the vocabulary has only {tags} tags", field=field)


class Phase(Enum):
    """Where in the answer the next token stands."""

    TAGS = "tags"
    EXPLANATION = "explanation"
    QUOTE = "quote"
    END = "end"
    """Only the end of sequence may come."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides what may come next. `used` are leaves of the trie; `text` is a state of the explanation's
    automaton; `positions`, `closing` (bytes of the closing mark written so far) and `span` (what is quoted so far) belong to
    an open quotation; `spent` are byte positions of the listing that earlier quotations cover; `left` are the tokens left for
    the explanation, its end included."""

    phase: Phase = Phase.TAGS
    node: int = ROOT
    used: tuple[int, ...] = ()
    text: int = START
    positions: frozenset[int] = frozenset()
    closing: int = 0
    span: bytes = b""
    spent: frozenset[int] = frozenset()
    left: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """The tokens that may come next, and what the prior adds to the logit of each: (K,) int32 and (K,) float32."""

    tokens: NDArray[np.int32]
    bias: NDArray[np.float32]


class AnswerConstraint:
    """The state machine of one answer: start with `State()`, ask `allowed`, `advance` by the token that was chosen.

    No place of the listing is quoted twice. There is no dead end: in every state that `advance` can reach (DONE excepted) at
    least one token is allowed. Over the tokens of a tag, its separator included, the prior's biases add up to exactly the
    tag's weight: each branch gets the best weight that can still be reached below it, less what the branches above it got.
    """

    def __init__(
        self,
        codec: AnswerCodec,
        rules: AnswerRules,
        quotable: QuotableText,
        prior: TagPrior | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        rules.check_against(len(codec.trie))
        self.codec = codec
        self.rules = rules
        self.quotable = quotable
        self._evidence = evidence or Evidence()
        weights = prior.weights if prior is not None else {}
        for tag in weights:
            if not 0 <= tag < len(codec.trie):
                raise InvalidRules(f"the prior names tag {tag}, the vocabulary has {len(codec.trie)} tags", field="prior")
        by_leaf = sorted((int(codec.trie.tag_leaf[tag]), weight) for tag, weight in weights.items() if weight != 0)
        self._prior_leaves = [leaf for leaf, _ in by_leaf]
        self._prior_weights = [weight for _, weight in by_leaf]

    def allowed(self, state: State) -> Allowed:
        """The tokens that may follow `state`."""
        if state.phase is Phase.TAGS:
            return self._allowed_tags(state)
        if state.phase is Phase.EXPLANATION:
            return _unbiased(self._allowed_text(state))
        if state.phase is Phase.QUOTE:
            return self._allowed_quote(state)
        assert state.phase is Phase.END, "nothing follows the end"
        return _unbiased(np.array([self.codec.eos_id], np.int32))

    def advance(self, state: State, token: int) -> State:
        """The state after `token`, which must be one of those allowed."""
        if state.phase is Phase.TAGS:
            return self._advance_tags(state, token)
        if token == self.codec.eos_id:
            return replace(state, phase=Phase.DONE)
        left = state.left - 1
        if state.phase is Phase.QUOTE:
            return self._advance_quote(replace(state, left=left), token)
        assert state.phase is Phase.EXPLANATION, f"token {token} after the end"
        text = int(self.codec.grammar.after[state.text, token])
        assert text != DEAD, f"token {token} is not allowed"
        if text == OPEN:
            return replace(state, phase=Phase.QUOTE, positions=self._rest(state).starts, closing=0, span=b"", left=left)
        return replace(state, text=text, left=left)

    def replay(self, tokens: Sequence[int]) -> State:
        """The state after `tokens` from the start."""
        state = State()
        for token in tokens:
            state = self.advance(state, token)
        return state

    def weight(self, tag: int) -> float:
        """The prior's weight of a tag, by its index in the vocabulary."""
        leaf = int(self.codec.trie.tag_leaf[tag])
        position = bisect_left(self._prior_leaves, leaf)
        return self._prior_weights[position] if self._prior_leaves[position : position + 1] == [leaf] else 0.0

    def _allowed_tags(self, state: State) -> Allowed:
        trie, separator = self.codec.trie, self.codec.separator_id
        tokens: list[int] = []
        bias: list[float] = []
        got = 0.0 if state.node == ROOT else self._best_below(state.node, state.used)
        assert got is not None, "a branch without a tag was entered"
        if state.node == ROOT:
            if len(state.used) >= self.rules.min_tags:
                tokens.append(separator)
                bias.append(0.0)
        elif trie.ends[state.node] and (leaf := int(trie.leaf_start[state.node])) not in state.used:
            tokens.append(separator)
            bias.append(self.weight(int(trie.leaf_tag[leaf])) - got)
        if state.node != ROOT or len(state.used) < self.rules.max_tags:
            for token, child in zip(*trie.children(state.node), strict=True):
                best = self._best_below(int(child), state.used)
                if best is not None:
                    tokens.append(int(token))
                    bias.append(best - got)
        return Allowed(np.array(tokens, np.int32), np.array(bias, np.float32))

    def _best_below(self, node: int, used: tuple[int, ...]) -> float | None:
        """The best weight of a tag below `node` that is not used yet; None if there is no such tag."""
        low, high = int(self.codec.trie.leaf_start[node]), int(self.codec.trie.leaf_end[node])
        available = high - low - sum(low <= leaf < high for leaf in used)
        if available == 0:
            return None
        first, last = bisect_left(self._prior_leaves, low), bisect_left(self._prior_leaves, high)
        weights = [self._prior_weights[p] for p in range(first, last) if self._prior_leaves[p] not in used]
        return max(weights) if len(weights) == available else max([0.0, *weights])

    def _advance_tags(self, state: State, token: int) -> State:
        trie = self.codec.trie
        if token != self.codec.separator_id:
            child = trie.child(state.node, token)
            assert child is not None, f"token {token} leads to no tag"
            return replace(state, node=child)
        if state.node != ROOT:
            return replace(state, node=ROOT, used=(*state.used, int(trie.leaf_start[state.node])))
        if self.rules.explain:
            return replace(state, phase=Phase.EXPLANATION, left=self.rules.max_explanation_tokens + 1)
        return replace(state, phase=Phase.END)

    def _allowed_text(self, state: State) -> NDArray[np.int32]:
        grammar = self.codec.grammar
        tokens = grammar.tokens_from[state.text]
        quotation = self._rest(state).tokens_for_shortest + self._closing_tokens(0) + 1
        opening = grammar.opening[state.text] if quotation < state.left else ()
        if state.left <= grammar.longest_way_out:
            tokens = tokens[grammar.tokens_left[grammar.after[state.text, tokens]] < state.left]
        end = [self.codec.eos_id] if grammar.may_end[state.text] else []
        return np.concatenate([tokens, np.array([*opening, *end], np.int32)])

    def _allowed_quote(self, state: State) -> Allowed:
        rest = self._rest(state)
        closing_tokens = self._closing_tokens(0)
        spans = self._spans_to_quote(state)
        bias: dict[int, float] = {}
        for position in state.positions:
            for token, end in rest.matches(position).items():
                if rest.tokens_left[end] + closing_tokens + 1 < state.left:
                    leads = any((position > start if state.span else position == start) and end <= last for start, last in spans)
                    bias[token] = max(bias.get(token, 0.0), self._evidence.weight * leads)
        if self._may_close(state):
            mark = CLOSING[state.closing :]
            for length in range(1, len(mark) + 1):
                if self._closing_tokens(state.closing + length) + 1 < state.left:
                    complete = any(last in state.positions for _, last in spans)
                    closing = self.codec.grammar.tokens_by_bytes.get(mark[:length], ())
                    bias |= {token: max(bias.get(token, 0.0), self._evidence.weight * complete) for token in closing}
        tokens = sorted(bias)
        return Allowed(np.array(tokens, np.int32), np.array([bias[token] for token in tokens], np.float32))

    def _spans_to_quote(self, state: State) -> list[tuple[int, int]]:
        """Byte positions before and after the evidence for the answer's tags that is not quoted yet."""
        tags = (int(self.codec.trie.leaf_tag[leaf]) for leaf in state.used)
        spans = (self._evidence.spans[tag] for tag in tags if tag in self._evidence.spans)
        return [place for span in spans for place in self._rest(state).occurrences(span)]

    def _advance_quote(self, state: State, token: int) -> State:
        rest = self._rest(state)
        matches = (rest.matches(position).get(token) for position in state.positions)
        positions = frozenset(end for end in matches if end is not None)
        written = self.codec.grammar.written[token]
        closing = 0
        if self._may_close(state) and CLOSING[state.closing :].startswith(written):
            closing = state.closing + len(written)
        assert positions or closing, f"token {token} continues no span of the listing"
        if closing == len(CLOSING):
            spent = state.spent | self.quotable.places(state.span[: len(state.span) - state.closing])
            return replace(state, phase=Phase.EXPLANATION, text=TEXT, positions=frozenset(), closing=0, span=b"", spent=spent)
        return replace(state, positions=positions, closing=closing, span=state.span + written)

    def _rest(self, state: State) -> QuotableText:
        """What can still be quoted."""
        return self.quotable.without(state.spent)

    def _may_close(self, state: State) -> bool:
        return state.closing > 0 or (bool(state.span) and any(map(self.quotable.may_end, state.positions)))

    def _closing_tokens(self, written: int) -> int:
        """Tokens needed to write the closing mark from its byte `written` on."""
        if written == len(CLOSING):
            return 0
        rest, known = CLOSING[written:], self.codec.grammar.tokens_by_bytes
        lengths = (length for length in range(1, len(rest) + 1) if rest[:length] in known)
        return min((1 + self._closing_tokens(written + length) for length in lengths), default=UNREACHABLE)


def _unbiased(tokens: NDArray[np.int32]) -> Allowed:
    return Allowed(tokens, np.zeros(len(tokens), np.float32))
