"""The grammar of an explanation, over bytes, so that no way of splitting text into tokens gets around it. It knows what may
be written outside quotation marks and where one opens; what may stand inside is `hangtag.quotes`.

Refused: control characters, `<`, `](`, `://`, `www.` (any case), invalid UTF-8, direction overrides, any quotation mark but
the pair “ ” and apostrophes, blanks at the start, at the end or doubled. A token that opens a quotation ends with the mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hangtag.masks import Words, packed
from hangtag.tokenizer import Tokenizer

OPEN_QUOTE, CLOSE_QUOTE = "“", "”"
CLOSING = CLOSE_QUOTE.encode()
"""The bytes that end a quotation."""
FORBIDDEN = (b"](", b"://", b"www.")
FORBIDDEN_BYTES = frozenset([*range(0x20), 0x7F, ord("<"), ord('"')])
FORBIDDEN_CHARACTERS = frozenset(
    [
        CLOSE_QUOTE,
        *"„‟″＂«»‘‚‛‹›「」『』〝〞〟｢｣﹁﹂﹃﹄⹂",
        *"\u2028\u2029\ufeff",
        *map(chr, range(0x80, 0xA0)),
        *map(chr, range(0x202A, 0x202F)),
        *map(chr, range(0x2066, 0x206A)),
    ]
)
_SPECIAL = {OPEN_QUOTE.encode(), *(character.encode() for character in FORBIDDEN_CHARACTERS)}
_SPECIAL_PREFIXES = {special[:length] for special in _SPECIAL for length in range(1, len(special))}

START, TEXT, SPACE, OPEN, DEAD = 0, 1, 2, 3, -1
UNREACHABLE = 1_000_000
"""A number of tokens that no answer may have."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A state between two bytes: where a forbidden pattern stands, the bytes of an unfinished character, and whether white
    space may follow."""

    pattern: bytes = b""
    partial: bytes = b""
    space_before: bool = False
    start: bool = False
    opened: bool = False


def character_length(lead: int) -> int:
    """Bytes of the UTF-8 character that starts with `lead`; 0 if none does (continuation bytes, C0, C1, above F4)."""
    if lead < 0x80:
        return 1
    return 2 if 0xC2 <= lead <= 0xDF else 3 if 0xE0 <= lead <= 0xEF else 4 if 0xF0 <= lead <= 0xF4 else 0


def _continues(partial: bytes, byte: int) -> bool:
    """Whether `byte` may follow `partial` in well-formed UTF-8 (Unicode 15, table 3-7)."""
    low, high = 0x80, 0xBF
    if len(partial) == 1:
        low = {0xE0: 0xA0, 0xF0: 0x90}.get(partial[0], low)
        high = {0xED: 0x9F, 0xF4: 0x8F}.get(partial[0], high)
    return low <= byte <= high


def _abstract(partial: bytes) -> bytes:
    """Unfinished characters that behave alike are one state: keep only what decides the rest."""
    if partial in _SPECIAL_PREFIXES:
        return partial
    remaining = character_length(partial[0]) - len(partial)
    plain = {1: b"\xd0", 2: b"\xe4", 3: b"\xf1"}[remaining]
    return partial if len(partial) == 1 and partial[0] in (0xE0, 0xED, 0xF0, 0xF4) else plain


def _step(state: _Bytes, byte: int) -> _Bytes | None:
    if state.opened:
        return None
    if state.partial:
        if not _continues(state.partial, byte):
            return None
        partial = state.partial + bytes([byte])
        if len(partial) < character_length(partial[0]):
            return _Bytes(partial=_abstract(partial))
        if partial == OPEN_QUOTE.encode():
            return _Bytes(opened=True)
        return None if partial in _SPECIAL else _Bytes()
    if byte >= 0x80:
        return _Bytes(partial=_abstract(bytes([byte]))) if character_length(byte) else None
    if byte in FORBIDDEN_BYTES or (byte == ord(" ") and (state.start or state.space_before)):
        return None
    seen = state.pattern + bytes([byte]).lower()
    if any(seen.endswith(pattern) for pattern in FORBIDDEN):
        return None
    tails = (seen[-length:] for length in range(len(seen), 0, -1))
    pattern = next((tail for tail in tails if any(p.startswith(tail) for p in FORBIDDEN)), b"")
    return _Bytes(pattern=pattern, space_before=byte == ord(" "))


def _automaton() -> tuple[list[_Bytes], NDArray[np.int16]]:
    """All reachable states, START, TEXT, SPACE and OPEN first, and the (states, 256) table of transitions."""
    states = [_Bytes(start=True), _Bytes(), _Bytes(space_before=True), _Bytes(opened=True)]
    number = {state: position for position, state in enumerate(states)}
    rows: list[list[int]] = []
    for state in states:  # grows while it is walked
        row = []
        for byte in range(256):
            following = _step(state, byte)
            if following is not None and following not in number:
                number[following] = len(states)
                states.append(following)
            row.append(DEAD if following is None else number[following])
        rows.append(row)
    return states, np.array(rows, np.int16)


class ExplanationGrammar:
    """The automaton carried over to the tokens of one tokenizer; built once a tokenizer.

    after: (states, tokens) int16, the state after a token, or DEAD
    may_end: (states,) whether the explanation may end there
    tokens_left: (states,) int32, the tokens needed at least until the end, the end itself included; UNREACHABLE where the
        tokenizer can't get there, and for OPEN, since only the listing knows how to go on
    tokens_by_bytes: the tokens that write exactly these bytes; () for what only longer tokens begin with
    masks: (states, longest_way_out + 2, 2, ceil(tokens / 32)) uint32, what `tokens` gives for a state, tokens left (more than
        longest_way_out are as good as one more) and whether a quotation may open: bit t % 32 of word t // 32 is token t
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        states, table = _automaton()
        self.eos_id = tokenizer.eos_id
        self.tokenizer_hash = tokenizer.hash
        written = [tokenizer.token_bytes(token) for token in range(tokenizer.size)]
        self.written = written
        self.after = self._walk(table, written)
        whole = [not state.partial and not state.start and not state.space_before and not state.opened for state in states]
        self.may_end = np.array(whole, np.bool_)
        self.tokens_left = self._distances()
        self.tokens_by_bytes = self._by_bytes()
        self.masks = self._packed()
        self._by_state = [[list(pair) for pair in state] for state in self.masks]

    @staticmethod
    def _walk(table: NDArray[np.int16], written: list[bytes]) -> NDArray[np.int16]:
        """Every token from every state, one byte position of all tokens at a time."""
        count, longest = len(written), max(map(len, written), default=0)
        padded = np.zeros((count, longest), np.uint8)
        lengths = np.array([len(text) for text in written])
        for token, text in enumerate(written):
            padded[token, : len(text)] = np.frombuffer(text, np.uint8)
        dead_row = len(table)
        closed = np.vstack([np.where(table == DEAD, dead_row, table), np.full((1, 256), dead_row)]).astype(np.int16)
        after = np.repeat(np.arange(dead_row, dtype=np.int16)[:, None], count, axis=1)
        for position in range(longest):
            live = np.flatnonzero(lengths > position)
            after[:, live] = closed[after[:, live], padded[live, position]]
        after[:, lengths == 0] = DEAD
        after[after == dead_row] = DEAD
        return after

    def _distances(self) -> NDArray[np.int32]:
        left = np.where(self.may_end, 1, UNREACHABLE).astype(np.int32)
        while True:
            beyond = np.where(self.after == DEAD, UNREACHABLE, left[self.after]).min(axis=1) + 1
            shorter = np.minimum(left, beyond).astype(np.int32)
            shorter[OPEN] = UNREACHABLE
            if (shorter == left).all():
                return left
            left = shorter

    @cached_property
    def tokens_from(self) -> tuple[NDArray[np.int32], ...]:
        """For each state the tokens that may follow and from which the end can be reached, ascending, without those that
        open a quotation (the end of the answer is not among them)."""
        live = (self.after != DEAD) & (self.tokens_left[self.after] < UNREACHABLE)
        return tuple(np.flatnonzero(row).astype(np.int32) for row in live)

    @cached_property
    def opening(self) -> tuple[NDArray[np.int32], ...]:
        """For each state the tokens that open a quotation."""
        return tuple(np.flatnonzero(row == OPEN).astype(np.int32) for row in self.after)

    @cached_property
    def longest_way_out(self) -> int:
        """The largest finite number in `tokens_left`: with more tokens than that left, none has to be refused."""
        return int(self.tokens_left[self.tokens_left < UNREACHABLE].max())

    def tokens(self, text: int, left: int, may_open: bool) -> NDArray[np.int32]:
        """The tokens that may come in state `text` with `left` tokens to go, the end included; those that open a quotation
        only if it `may_open`."""
        tokens = self.tokens_from[text]
        if left <= self.longest_way_out:
            tokens = tokens[self.tokens_left[self.after[text, tokens]] < left]
        opening = self.opening[text] if may_open else ()
        end = [self.eos_id] if self.may_end[text] else []
        return np.concatenate([tokens, np.array([*opening, *end], np.int32)])

    def mask(self, text: int, left: int, may_open: bool) -> Words:
        """`tokens` packed, one of `masks`."""
        mask: Words = self._by_state[text][left if left <= self.longest_way_out else -1][may_open]
        return mask

    def _packed(self) -> NDArray[np.uint32]:
        shape, size = (len(self.may_end), self.longest_way_out + 2, 2), len(self.written)
        masks = [packed(self.tokens(text, left, bool(may_open)), size) for text, left, may_open in np.ndindex(shape)]
        return np.array(masks).reshape(*shape, -1)

    @cached_property
    def closing_tokens(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each number of bytes of the closing mark that stand: the tokens that go on with it, and how many stand then."""
        known, every = self.tokens_by_bytes, range(len(CLOSING) + 1)
        return tuple(tuple((t, end) for end in every[start + 1 :] for t in known.get(CLOSING[start:end], ())) for start in every)

    @cached_property
    def closers(self) -> tuple[list[int], ...]:
        """The tokens of `closing_tokens` alone."""
        return tuple([token for token, _ in pairs] for pairs in self.closing_tokens)

    @cached_property
    def closing_left(self) -> tuple[int, ...]:
        """For each number of bytes of the closing mark that stand: the fewest tokens that write the rest."""
        left = [0] * (len(CLOSING) + 1)
        for start in range(len(CLOSING) - 1, -1, -1):
            left[start] = min((1 + left[end] for _, end in self.closing_tokens[start]), default=UNREACHABLE)
        return tuple(left)

    @cached_property
    def longest_closing(self) -> int:
        """The largest number in `closing_left`: with more tokens than that left, none has to be refused."""
        return max(self.closing_left)

    def _by_bytes(self) -> dict[bytes, tuple[int, ...]]:
        found: dict[bytes, tuple[int, ...]] = {}
        for token, text in enumerate(self.written):
            if text:
                found[text] = (*found.get(text, ()), token)
                for length in range(len(text) - 1, 0, -1):
                    if text[:length] in found:
                        break
                    found[text[:length]] = ()
        return found
