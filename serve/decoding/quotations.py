"""`QuotationRows`: the quotations of many answers at once, as torch operations. It is `hangtag.quotes` and the quotations' part
of `hangtag.constraint` over tensors; it knows no tags beyond which of them brought evidence.

A listing is a table of steps from byte to byte, and the state the set of bytes that a span may have reached, as bools.
Conventions are those of `serve.decoding.tags`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.explanation import CLOSING, UNREACHABLE, ExplanationGrammar
from hangtag.quotes import Int64, Steps
from hangtag.state import InExplanation, InQuotation, State
from serve.decoding.table import Column, RowTable, add_bits, pairs, spread

NOWHERE = -1
START, END, WORD_END, LEFT, TOKEN, SLOT, STEP_COLUMNS = range(7)


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Steps that go on from where rows are, (F,) each: the line of `r`, the step, whether it counts."""

    line: Tensor
    step: Tensor
    valid: Tensor


class QuotationRows:
    """State of R rows inside quotation marks, and what their listings let them write. A row's different tokens are its `slots`;
    the tokens that close a quotation are the first of them."""

    columns = (
        *map(Column, ("length", "closing", "step_count")),
        *map(Column, ("reach_from", "reach_to")),  # for the host: positions lie between
        Column("shortest", blank=UNREACHABLE),
        Column("lean", torch.float32, wide=True),  # one
        *(Column(name, torch.bool, wide=True) for name in ("positions", "ends", "starts", "word_ends", "spent")),
        Column("leaning", torch.bool, wide=True),  # for the host: slots, while it counts which lean
        Column("spent_before", torch.int32, wide=True),
        Column("steps", torch.int32, wide=True),  # STEP_COLUMNS each
        Column("first_step", wide=True),  # for the host: where the steps from a byte begin
        Column("slots", torch.int32, wide=True),
        *(Column(f"evidence_{name}", blank=NOWHERE, wide=True) for name in ("leaf", "start", "end")),
    )

    def __init__(self, grammar: ExplanationGrammar, table: RowTable) -> None:
        device = table.device
        self.closers = np.unique([token for group in grammar.closing_tokens for token, _ in group]).astype(np.int64)
        self._room = grammar.closing_left[0] + 1
        after = torch.zeros((len(CLOSING) + 1, len(grammar.written)), dtype=torch.long)
        for written, group in enumerate(grammar.closing_tokens):
            for token, then in group:
                after[written, token] = then
        self.closing_after = after.to(device)
        self._closer_after = after[:, self.closers].to(device)
        self.closing_left = torch.tensor(grammar.closing_left, device=device)
        self.lengths = torch.tensor([len(text) for text in grammar.written], device=device)
        self.table = table
        self._written: set[int] = set()
        """Rows that have something to quote, or had."""
        table.widen(steps=STEP_COLUMNS, slots=len(self.closers), leaning=len(self.closers), first_step=2, spent_before=2)

    def put(self, row: int, constraint: AnswerConstraint, state: State) -> None:
        """Begin a row in `state`."""
        explains = constraint.rules.explain
        if not explains and row not in self._written:
            return  # nothing will be quoted
        self._written.add(row) if explains else self._written.discard(row)
        quotable, table = constraint.quotable, self.table
        steps = quotable.steps if explains else Steps(*[np.empty(0, np.int64)] * 5)
        others = np.setdiff1d(steps.token, self.closers)
        slots = np.concatenate([self.closers, others])
        order = np.argsort(slots)
        slot = order[np.searchsorted(slots, steps.token, sorter=order)]
        width = len(quotable) + 2
        spent = state.spent if isinstance(state, InExplanation | InQuotation) else 0
        inside = state if isinstance(state, InQuotation) else InQuotation(state.used, 0, 0, ())
        evidence = [
            (int(constraint.trie.tag_leaf[tag]), start, end)
            for tag, span in constraint.evidence.spans.items()
            if explains and constraint.trie.tag_leaf[tag] >= 0
            for start, end in quotable.occurrences(span)
        ]
        columns = np.stack([steps.start, steps.end, steps.word_end, steps.left, steps.token, slot], axis=1)
        table.put(
            row,
            length=inside.length,
            closing=inside.closing,
            reach_from=min(inside.positions, default=0),
            reach_to=max(inside.positions, default=-1) + 1,
            step_count=len(steps.start),
            shortest=quotable.shortest(spent) if explains else UNREACHABLE,
            lean=[constraint.evidence.weight],
            positions=_bools(inside.positions, width),
            ends=_bools(inside.ends, width),
            starts=_bools(quotable.starts if explains else (), width),
            word_ends=_bools(quotable.word_ends if explains else (), width),
            spent=_bools([position for position in range(spent.bit_length()) if spent >> position & 1], width),
            steps=columns.reshape(-1).astype(np.int32),
            first_step=np.searchsorted(steps.start, np.arange(width + 1)),
            slots=slots,
            leaning=np.zeros(len(slots), np.bool_),
            evidence_leaf=[leaf for leaf, _, _ in evidence],
            evidence_start=[start for _, start, _ in evidence],
            evidence_end=[end for _, _, end in evidence],
        )
        table["first_step"][row, width + 1 :] = len(steps.start)
        table.widen(first_step=table.width("positions") + 1, spent_before=table.width("positions") + 1)
        self._count_spent(torch.tensor([row], device=table.device))

    def open(self, r: Tensor, active: Tensor) -> None:
        """A quotation begins."""
        table, row = self.table, active[:, None]
        table["positions"][r] = torch.where(row, table["starts"][r], table["positions"][r])
        table["ends"][r] = table["ends"][r] & ~row
        for name in ("length", "closing"):
            table[name][r] = torch.where(active, 0, table[name][r])

    def may_open(self, r: Tensor, left: Tensor) -> Tensor:
        """(n,) whether the shortest quotation fits in the tokens that are left."""
        return self.table["shortest"][r] + self._room < left

    def fill(self, r: Tensor, active: Tensor, left: Tensor, words: Tensor) -> None:
        """Set the bits of the tokens that go on with a span or close it, in empty masks."""
        ways, steps = self._ways(r, left)
        allowed = self._by_slot(r, ways, steps[:, SLOT])
        allowed[:, : len(self.closers)] |= self._closes(r, left)
        line, slot, valid = pairs(allowed & active[:, None])
        add_bits(words, r[line], self.table["slots"][r[line], slot], valid)

    def bias(self, r: Tensor, left: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """(n, S) tokens, all different but for those that are not allowed, and what the evidence for `used`, (n, tags) leaves,
        adds to their logits."""
        table = self.table
        ways, steps = self._ways(r, left)
        start, end = table["evidence_start"][r], table["evidence_end"][r]
        stands = (table["evidence_leaf"][r][:, :, None] == used[:, None, :]).any(dim=2) & (end > 0)
        before = table["spent_before"][r]
        wanted = stands & (before.gather(1, end.clamp(min=0)) == before.gather(1, start.clamp(min=0)))
        reach = torch.full_like(table["positions"][r], NOWHERE, dtype=torch.long)
        reach = reach.scatter_reduce(1, start.clamp(min=0), torch.where(wanted, end, NOWHERE), "amax")
        within = torch.cat([torch.full_like(reach[:, :1], NOWHERE), reach.cummax(dim=1).values[:, :-1]], dim=1)
        reach = torch.where(table["length"][r, None] > 0, within, reach)
        leads = Ways(ways.line, ways.step, ways.valid & (steps[:, END] <= reach[ways.line, steps[:, START].long()]))
        complete = (wanted & table["positions"][r].gather(1, end.clamp(min=0))).any(dim=1)
        leaning = self._by_slot(r, leads, steps[:, SLOT])
        leaning[:, : len(self.closers)] |= self._closes(r, left) & complete[:, None]
        return table["slots"][r], leaning * table["lean"][r]

    def advance(self, r: Tensor, active: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Take in a token each; returns which rows have closed their quotation, to be spent, and where its spans ended."""
        table = self.table
        ways, steps = self._ways(r, None)
        taken = ways.valid & (steps[:, TOKEN] == token[ways.line])
        width = table.width("positions")
        reached = torch.zeros((len(r), width), dtype=torch.int32, device=r.device)
        reached.view(-1).scatter_add_(0, ways.line * width + steps[:, END], taken.int())
        ends = self._ends(r)
        written = self.closing_after[table["closing"][r], token]
        closing = torch.where(ends.any(dim=1), written, 0)
        row = active[:, None]
        table["ends"][r] = torch.where(row, ends & (closing > 0)[:, None], table["ends"][r])
        table["positions"][r] = torch.where(row, reached > 0, table["positions"][r])
        table["length"][r] += torch.where(active, self.lengths[token], 0)
        table["closing"][r] = torch.where(active, closing, table["closing"][r])
        return active & (closing == len(CLOSING)), ends

    def spend(self, r: Tensor, closed: Tensor, ends: Tensor) -> None:
        """The bytes before each of `ends` that a closed quotation covers are no longer to be quoted."""
        table = self.table
        ended = torch.cat([torch.zeros_like(ends[:, :1], dtype=torch.int32), ends.cumsum(dim=1, dtype=torch.int32)], dim=1)
        span = (table["length"][r] - table["closing"][r])[:, None]
        place = torch.arange(ends.shape[1], device=ends.device)
        covered = ended.gather(1, (place + span + 1).clamp(max=ends.shape[1])) > ended[:, 1:]
        table["spent"][r] = table["spent"][r] | (covered & closed[:, None])
        self._count_spent(r)
        table["positions"][r] = torch.where(closed[:, None], table["starts"][r], table["positions"][r])
        ways, steps = self._ways(r, None)
        fewest = torch.full_like(table["shortest"][r], UNREACHABLE)
        fewest.scatter_reduce_(0, ways.line, torch.where(ways.valid, 1 + steps[:, LEFT].long(), UNREACHABLE), "amin")
        table["shortest"][r] = torch.where(closed, fewest, table["shortest"][r])

    def _ways(self, r: Tensor, left: Tensor | None) -> tuple[Ways, Tensor]:
        """The steps that go on from where rows are and are not spent, and leave tokens enough if `left` says how many there are;
        and (F, STEP_COLUMNS) int32, what they are."""
        table, positions = self.table, self.table["positions"][r]
        most = table.width("steps") // STEP_COLUMNS
        line, step, valid = spread(table["step_count"][r], most)
        rows = r[line]
        steps = table["steps"].view(table.rows, most, STEP_COLUMNS)[rows, step]
        start, word_end = steps[:, START].long(), steps[:, WORD_END].long()
        valid = valid & positions[line, start]
        before = table["spent_before"]
        valid = valid & (before[rows, word_end] == before[rows, start])
        if left is not None:
            valid = valid & (steps[:, LEFT] < (left - self._room)[line])
        return Ways(line, step, valid), steps

    def _by_slot(self, r: Tensor, ways: Ways, slot: Tensor) -> Tensor:
        """(n, S) which slots some of the ways take."""
        width = self.table.width("slots")
        slots = torch.zeros((len(r), width), dtype=torch.int32, device=r.device)
        slots.view(-1).scatter_add_(0, ways.line * width + slot, ways.valid.int())
        return slots > 0

    def _closes(self, r: Tensor, left: Tensor) -> Tensor:
        """(n, closers) which tokens may go on with the closing mark."""
        then = self._closer_after[self.table["closing"][r]]
        fits = self.closing_left[then] + 1 < left[:, None]
        return (then > 0) & fits & self._ends(r).any(dim=1)[:, None]

    def _ends(self, r: Tensor) -> Tensor:
        """(n, bytes) where the span may end, or did before its closing mark began."""
        table = self.table
        here = table["positions"][r] & table["word_ends"][r] & (table["length"][r] > 0)[:, None]
        return torch.where(table["closing"][r, None] > 0, table["ends"][r], here)

    def _count_spent(self, r: Tensor) -> None:
        self.table["spent_before"][r, 1:] = self.table["spent"][r].cumsum(dim=1, dtype=torch.int32)


def _bools(positions: Sequence[int] | Int64, width: int) -> NDArray[np.bool_]:
    chosen = np.zeros(width, np.bool_)
    chosen[np.asarray(positions, np.int64)] = True
    return chosen
