"""`QuotationRows`: the quotations of many answers at once, as torch operations. It is `hangtag.quotes` and the quotations' part
of `hangtag.constraint` over tensors; it knows no tags beyond which of them brought evidence.

A listing is a table of steps from byte to byte, and the state the set of bytes that a span may have reached, as bools.
Conventions are those of `serve.decoding.tags`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.explanation import CLOSING, UNREACHABLE, ExplanationGrammar
from hangtag.quotes import Step
from hangtag.state import InExplanation, InQuotation, State
from serve.decoding.table import Column, RowTable, scatter_bits

NOWHERE = -1
STEP_BLANKS = {"start": 0, "end": 0, "word_end": 0, "left": UNREACHABLE, "token": NOWHERE, "slot": 0}
"""Columns of a step, and what stands in a row that has fewer steps: one that no token takes and that leads nowhere."""


class QuotationRows:
    """State of R rows inside quotation marks, and what their listings let them write. A row's different tokens are its `slots`;
    the tokens that close a quotation are the first of them."""

    def __init__(self, grammar: ExplanationGrammar, rows: int, device: torch.device) -> None:
        self._closers = sorted({token for group in grammar.closing_tokens for token, _ in group})
        self._room = grammar.closing_left[0] + 1
        after = torch.zeros((len(CLOSING) + 1, len(grammar.written)), dtype=torch.long)
        for written, group in enumerate(grammar.closing_tokens):
            for token, then in group:
                after[written, token] = then
        self._closing_after = after.to(device)
        self._closer_after = after[:, self._closers].to(device)
        self._closing_left = torch.tensor(grammar.closing_left, device=device)
        self._lengths = torch.tensor([len(text) for text in grammar.written], device=device)
        self.table = RowTable(
            rows,
            device,
            [
                *(Column(name) for name in ("length", "closing")),
                Column("shortest", blank=UNREACHABLE),
                Column("lean", torch.float32),
                *(Column(name, torch.bool, wide=True) for name in ("positions", "ends", "starts", "word_ends", "spent")),
                Column("spent_before", torch.int32, wide=True),
                *(Column(f"step_{name}", blank=blank, wide=True) for name, blank in STEP_BLANKS.items()),
                Column("slots", torch.int32, wide=True),
                *(Column(f"evidence_{name}", blank=NOWHERE, wide=True) for name in ("leaf", "start", "end")),
            ],
        )

    def put(self, row: int, constraint: AnswerConstraint, state: State) -> None:
        """Begin a row in `state`."""
        quotable, table = constraint.quotable, self.table
        steps = [step for position in range(len(quotable) + 1) for step in quotable.steps(position)] if len(quotable) else []
        slot = {token: number for number, token in enumerate(self._closers)}
        for step in steps:
            slot.setdefault(step.token, len(slot))
        bytes_ = len(quotable) + 2  # the place after the last byte, and one that nothing leads from
        spent = state.spent if isinstance(state, InExplanation | InQuotation) else 0
        inside = state if isinstance(state, InQuotation) else InQuotation(state.used, 0, 0, ())
        evidence = [
            (int(constraint.trie.tag_leaf[tag]), start, end)
            for tag, span in constraint.evidence.spans.items()
            if constraint.trie.tag_leaf[tag] >= 0
            for start, end in quotable.occurrences(span)
        ]
        columns = {f"step_{name}": ([getattr(step, name) for step in steps], len(steps)) for name in Step._fields}
        table.put(
            row,
            **columns,
            length=inside.length,
            closing=inside.closing,
            shortest=quotable.shortest(spent),
            lean=constraint.evidence.weight,
            positions=_bools(inside.positions, bytes_),
            ends=_bools(inside.ends, bytes_),
            starts=_bools(quotable.starts if steps else (), bytes_),
            word_ends=_bools([p for p, end in enumerate(quotable.word_ends) if p == end] if steps else (), bytes_),
            spent=_bools([position for position in range(spent.bit_length()) if spent >> position & 1], bytes_),
            step_slot=([slot[step.token] for step in steps], len(steps)),
            slots=(list(slot), len(slot)),
            evidence_leaf=([leaf for leaf, _, _ in evidence], len(evidence)),
            evidence_start=([start for _, start, _ in evidence], len(evidence)),
            evidence_end=([end for _, _, end in evidence], len(evidence)),
        )
        table.widen("spent_before", table["spent"].shape[1] + 1)
        self._count_spent(torch.tensor([row], device=table.device))

    def open(self, r: Tensor, active: Tensor) -> None:
        """A quotation begins."""
        table, active = self.table, active[:, None]
        table["positions"][r] = torch.where(active, table["starts"][r], table["positions"][r])
        table["ends"][r] &= ~active
        for name in ("length", "closing"):
            table[name][r] = torch.where(active[:, 0], 0, table[name][r])

    def may_open(self, r: Tensor, left: Tensor) -> Tensor:
        """(n,) whether the shortest quotation fits in the tokens that are left."""
        return self.table["shortest"][r] + self._room < left

    def fill(self, r: Tensor, active: Tensor, left: Tensor, words: Tensor) -> None:
        """Set the bits of the tokens that go on with a span or close it; the mask must be empty."""
        allowed, _ = self._allowed(r, left)
        scatter_bits(words, r, self.table["slots"][r], allowed & active[:, None])

    def bias(self, r: Tensor, left: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """(n, S) tokens, all different but for those that are not allowed, and what the evidence for `used`, (n, tags) leaves,
        adds to their logits."""
        table = self.table
        _, steps = self._allowed(r, left)
        start, end = table["evidence_start"][r], table["evidence_end"][r]
        stands = (table["evidence_leaf"][r][:, :, None] == used[:, None, :]).any(dim=2) & (end > 0)
        before = table["spent_before"][r]
        wanted = stands & (before.gather(1, end.clamp(min=0)) == before.gather(1, start.clamp(min=0)))
        reach = torch.full_like(table["positions"][r], NOWHERE, dtype=torch.long)
        reach = reach.scatter_reduce(1, start.clamp(min=0), torch.where(wanted, end, NOWHERE), "amax")
        within = torch.cat([torch.full_like(reach[:, :1], NOWHERE), reach.cummax(dim=1).values[:, :-1]], dim=1)
        reach = torch.where(table["length"][r, None] > 0, within, reach)
        leads = steps & (table["step_end"][r] <= reach.gather(1, table["step_start"][r]))
        complete = (wanted & table["positions"][r].gather(1, end.clamp(min=0))).any(dim=1)
        leaning = self._by_slot(r, leads)
        leaning[:, : len(self._closers)] |= self._closes(r, left) & complete[:, None]
        return table["slots"][r], leaning * table["lean"][r, None]

    def advance(self, r: Tensor, active: Tensor, token: Tensor) -> Tensor:
        """Take in a token each; returns which rows have closed their quotation."""
        table = self.table
        taken = table["positions"][r].gather(1, table["step_start"][r]) & self._is_free(r)
        taken &= table["step_token"][r] == token[:, None]
        nowhere = table["positions"].shape[1] - 1
        reached = torch.zeros_like(table["positions"][r], dtype=torch.int32)
        reached = reached.scatter_add(1, torch.where(taken, table["step_end"][r], nowhere), taken.int()) > 0
        ends = self._ends(r)
        written = self._closing_after[table["closing"][r], token]
        closing = torch.where(ends.any(dim=1), written, 0)
        closed = active & (closing == len(CLOSING))
        self._spend(r, closed, ends)
        row = active[:, None]
        table["ends"][r] = torch.where(row, ends & (closing > 0)[:, None], table["ends"][r])
        table["positions"][r] = torch.where(row, reached, table["positions"][r])
        table["length"][r] += torch.where(active, self._lengths[token], 0)
        table["closing"][r] = torch.where(active, closing, table["closing"][r])
        return closed

    def _allowed(self, r: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """(n, S) which slots are allowed, and (n, E) which steps."""
        table = self.table
        steps = table["positions"][r].gather(1, table["step_start"][r]) & self._is_free(r)
        steps &= table["step_left"][r] < (left - self._room)[:, None]
        allowed = self._by_slot(r, steps)
        allowed[:, : len(self._closers)] |= self._closes(r, left)
        return allowed, steps

    def _by_slot(self, r: Tensor, steps: Tensor) -> Tensor:
        slots = torch.zeros_like(self.table["slots"][r])
        return slots.scatter_add_(1, self.table["step_slot"][r], steps.int()) > 0

    def _closes(self, r: Tensor, left: Tensor) -> Tensor:
        """(n, closers) which tokens may go on with the closing mark."""
        then = self._closer_after[self.table["closing"][r]]
        fits = self._closing_left[then] + 1 < left[:, None]
        return (then > 0) & fits & self._ends(r).any(dim=1)[:, None]

    def _ends(self, r: Tensor) -> Tensor:
        """(n, bytes) where the span may end, or did before its closing mark began."""
        table = self.table
        here = table["positions"][r] & table["word_ends"][r] & (table["length"][r] > 0)[:, None]
        return torch.where(table["closing"][r, None] > 0, table["ends"][r], here)

    def _is_free(self, r: Tensor) -> Tensor:
        before = self.table["spent_before"][r]
        return before.gather(1, self.table["step_word_end"][r]) == before.gather(1, self.table["step_start"][r])

    def _spend(self, r: Tensor, closed: Tensor, ends: Tensor) -> None:
        """The bytes before each of `ends` that the span covers are no longer to be quoted."""
        table = self.table
        ended = torch.cat([torch.zeros_like(ends[:, :1], dtype=torch.int32), ends.cumsum(dim=1, dtype=torch.int32)], dim=1)
        span = (table["length"][r] - table["closing"][r])[:, None]
        place = torch.arange(ends.shape[1], device=ends.device)
        covered = ended.gather(1, (place + span + 1).clamp(max=ends.shape[1])) > ended[:, 1:]
        table["spent"][r] |= covered & closed[:, None]
        self._count_spent(r)
        free = self._is_free(r) & table["starts"][r].gather(1, table["step_start"][r])
        shortest = torch.where(free, 1 + table["step_left"][r], UNREACHABLE).amin(dim=1)
        table["shortest"][r] = torch.where(closed, shortest, table["shortest"][r])

    def _count_spent(self, r: Tensor) -> None:
        self.table["spent_before"][r, 1:] = self.table["spent"][r].cumsum(dim=1, dtype=torch.int32)


def _bools(positions: object, width: int) -> tuple[list[bool], int]:
    chosen = set(positions)  # type: ignore[call-overload]
    return [position in chosen for position in range(width)], width
