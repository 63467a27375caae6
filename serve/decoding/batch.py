"""`BatchConstraint`: the constraint over a batch of rows as torch operations, on any device. `hangtag.constraint` defines what it
does; it knows no model, and how an engine names its rows is for adapters.

A step (`fill` or `apply`, then `advance`) neither waits for the device nor has shapes that depend on data, so it can run where
the last token is only on the device. On a CPU, where looking costs nothing, every part works on the rows it concerns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.explanation import OPEN, START, TEXT, ExplanationGrammar
from hangtag.state import AtEnd, Done, InExplanation, InQuotation, InTags
from serve.decoding.forest import EVERYTHING, NOTHING, ONLY_THE_END, Forest
from serve.decoding.priors import PriorRows
from serve.decoding.quotations import QuotationRows
from serve.decoding.table import Column, RowTable, Shapes
from serve.decoding.tags import TagRows

TAGS, EXPLANATION, QUOTATION, END, DONE = range(5)
NOT_STORED = -1
PHASES = {InTags: TAGS, InExplanation: EXPLANATION, InQuotation: QUOTATION, AtEnd: END, Done: DONE}


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of the rows of an operation: their places among them, (n,), their lines in the tables, (n,), and, (n,) bool, which of
    them are meant."""

    index: Tensor
    rows: Tensor
    active: Tensor


class BatchConstraint:
    """At most `rows` answers over logits of `width`, all of one tokenizer. A row that is done may only repeat its end.

    `by_data`: whether every part works only on the rows it concerns (on a CPU by default) or on all of them.
    """

    def __init__(
        self,
        grammar: ExplanationGrammar,
        rows: int,
        width: int,
        device: torch.device | str = "cpu",
        *,
        by_data: bool | None = None,
    ) -> None:
        device = torch.device(device)
        assert width >= len(grammar.written), "the logits are narrower than the vocabulary"
        self._device, self._tokenizer = device, grammar.tokenizer_hash
        shapes = Shapes(device.type == "cpu" if by_data is None else by_data)
        self._by_data = shapes.by_data
        self._eos, self._longest_way_out = grammar.eos_id, grammar.longest_way_out
        self._after = torch.from_numpy(grammar.after).to(device)
        self._forest = Forest(grammar, -(-width // 32), device)
        self._version = self._forest.version
        self._tags = TagRows(self._forest, shapes, rows, device)
        self._priors = PriorRows(self._tags, rows, device)
        self._quotations = QuotationRows(grammar, shapes, rows, device)
        self._table = RowTable(rows, device, [Column("phase", blank=DONE), *map(Column, ("text", "left", "explains", "longest"))])
        self._spare = rows
        self._words = torch.zeros((rows + 1, -(-width // 32)), dtype=torch.int32, device=device)
        self._copies = torch.empty_like(self._words)
        self._stored = torch.full((rows + 1,), NOT_STORED, dtype=torch.long, device=device)
        self._written: list[Tensor] = []
        octets = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        self._forbidden = torch.from_numpy((1 - octets).view(np.int64)[:, 0]).to(device)
        """For each byte of a packed mask eight bools, which are not set."""

    def put(self, row: int, constraint: AnswerConstraint, tokens: Iterable[int] = ()) -> None:
        """Begin an answer in `row`, `tokens` of it generated already. Host work, not for within a step."""
        assert constraint.grammar.tokenizer_hash == self._tokenizer, "the constraint is for another tokenizer"
        state = constraint.replay(tokens)
        inside = state if isinstance(state, InTags) else InTags(used=state.used, counts=(0,) * len(constraint.ruled.limits))
        self._tags.put(row, constraint, inside)
        if self._version != self._forest.version:  # masks have moved
            self._version = self._forest.version
            self._stored.fill_(NOT_STORED)
        self._priors.put(row, constraint)
        self._quotations.put(row, constraint, state)
        self._table.put(
            row,
            phase=PHASES[type(state)],
            text=state.text if isinstance(state, InExplanation) else START,
            left=state.left if isinstance(state, InExplanation | InQuotation) else 0,
            explains=int(constraint.rules.explain),
            longest=constraint.rules.max_explanation_tokens,
        )

    def drop(self, row: int) -> None:
        """Forget the answer in `row`, if there is one."""
        self._tags.drop(row)
        self._table["phase"][row] = DONE

    def done(self) -> Tensor:
        """(rows,) bool: which rows have their end, or none was begun in."""
        return self._table["phase"][: self._spare] == DONE

    def fill(self, rows: Tensor | None = None) -> Tensor:
        """The packed masks, (rows, ceil(width / 32)) int32, those of `rows`, (n,) int64, brought up to date: bit t % 32 of word
        t // 32 is token t. They stay as they are until the next `fill`, and are not to be written to."""
        r = self._known(rows)
        self._store(r)
        if tags := self._select(r, TAGS):
            self._fill_tags(tags)
        if quotations := self._select(r, QUOTATION):
            part, left = quotations.rows, self._table["left"][quotations.rows]
            self._written.append(self._quotations.fill(part, quotations.active, left, self._words))
        return self._words[: self._spare]

    def apply(self, logits: Tensor, rows: Tensor | None = None) -> None:
        """Mask and bias (n, width) logits in place; line i belongs to row `rows`[i], and to none where that is -1."""
        r = self._known(rows, len(logits))
        self.fill(r)
        if tags := self._select(r, TAGS):
            if stale := self._part(tags.rows, tags.active & self._priors.table["stale"][tags.rows]):
                self._priors.weigh(stale.rows)
            tokens, bias, separator = self._priors.bias(tags.rows)
            _add(logits, tags, tokens, bias)
            _add(logits, tags, self._tags.table["separator"][tags.rows, None], separator[:, None])
        if quotations := self._select(r, QUOTATION):
            part = quotations.rows
            tokens, bias = self._quotations.bias(part, self._table["left"][part], self._tags.table["used"][part])
            _add(logits, quotations, tokens, bias)
        octets = self._words.index_select(0, r).view(torch.uint8).view(-1)
        forbidden = self._forbidden.index_select(0, octets.int()).view(torch.bool).view(len(r), -1)
        logits.masked_fill_(forbidden[:, : logits.shape[1]], -math.inf)

    def advance(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """Take in the (n,) tokens that were chosen for `rows`, all different but for -1; rows that are done stay so."""
        r = self._known(rows, len(tokens))
        tokens = tokens.to(self._device, torch.long).clamp(min=0, max=self._after.shape[1] - 1)
        kinds = [self._select(r, kind) for kind in (TAGS, EXPLANATION, QUOTATION, END)]
        steps = (self._advance_tags, self._advance_explanation, self._advance_quotation, self._end)
        for step, part in zip(steps, kinds, strict=True):
            if part:
                step(part, tokens[part.index])

    def _known(self, rows: Tensor | None, count: int | None = None) -> Tensor:
        """The rows as numbers of lines in the tables: all of them for None, and the spare one for -1."""
        if rows is None:
            return torch.arange(self._spare if count is None else count, device=self._device)
        return torch.where(rows < 0, self._spare, rows)

    def _select(self, r: Tensor, phase: int) -> Part | None:
        """Those of `r` in a phase; None where it is known that there are none."""
        return self._part(r, self._table["phase"][r] == phase)

    def _part(self, r: Tensor, chosen: Tensor) -> Part | None:
        if not self._by_data:
            return Part(torch.arange(len(r), device=self._device), r, chosen)
        index = chosen.nonzero()[:, 0]
        return Part(index, r[index], torch.ones_like(index, dtype=torch.bool)) if len(index) else None

    def _store(self, r: Tensor) -> None:
        """Put stored masks in place, where others stand."""
        table = self._table
        phase, left = table["phase"][r], table["left"][r]
        may_open = self._quotations.may_open(r, left).long()
        text = self._forest.text_masks(table["text"][r], left.clamp(max=self._longest_way_out + 1), may_open)
        stored = torch.where(phase == EXPLANATION, text, torch.where(phase == QUOTATION, NOTHING, ONLY_THE_END))
        stored = torch.where(phase == TAGS, self._tags.masks(r), stored)
        stored = torch.where(r == self._spare, EVERYTHING, stored)
        changed = r
        if self._by_data:
            for places in self._written:
                self._words.view(-1).index_fill_(0, places, 0)
            where = (stored != self._stored[r]).nonzero()[:, 0]
            changed, stored = r[where], stored[where]
        self._written = []
        copies = torch.index_select(self._forest.masks.data, 0, stored, out=self._copies[: len(changed)])
        self._words.index_copy_(0, changed, copies)
        self._stored[changed] = stored

    def _fill_tags(self, tags: Part) -> None:
        dense, written = self._tags.fill(tags.rows, tags.active, self._words)
        self._stored[tags.rows] = torch.where(dense, NOT_STORED, self._stored[tags.rows])
        self._written += written

    def _advance_tags(self, part: Part, tokens: Tensor) -> None:
        table, r = self._table, part.rows
        ended, completed = self._tags.advance(r, part.active, tokens)
        if done := self._part(r, completed):
            self._tags.complete(done.rows, done.active)
            self._priors.table["stale"][done.rows] |= done.active
        following = torch.where(table["explains"][r] > 0, EXPLANATION, END)
        table["phase"][r] = torch.where(ended, following, table["phase"][r])
        table["left"][r] = torch.where(ended, table["longest"][r] + 1, table["left"][r])
        table["text"][r] = torch.where(ended, START, table["text"][r])

    def _advance_explanation(self, part: Part, tokens: Tensor) -> None:
        table, r, active = self._table, part.rows, part.active
        ended = active & (tokens == self._eos)
        text = self._after[table["text"][r], tokens].long()
        opened = active & ~ended & (text == OPEN)
        if opening := self._part(r, opened):
            self._quotations.open(opening.rows, opening.active)
        phase = torch.where(ended, DONE, torch.where(opened, QUOTATION, EXPLANATION))
        table["phase"][r] = torch.where(active, phase, table["phase"][r])
        table["text"][r] = torch.where(active & ~ended & ~opened, text.clamp(min=START), table["text"][r])
        table["left"][r] -= active.long()

    def _advance_quotation(self, part: Part, tokens: Tensor) -> None:
        table, r = self._table, part.rows
        closed, ends = self._quotations.advance(r, part.active, tokens)
        if done := self._part(r, closed):
            self._quotations.spend(done.rows, done.active, ends[done.index])
        table["phase"][r] = torch.where(closed, EXPLANATION, table["phase"][r])
        table["text"][r] = torch.where(closed, TEXT, table["text"][r])
        table["left"][r] -= part.active.long()

    def _end(self, part: Part, tokens: Tensor) -> None:
        self._table["phase"][part.rows] = torch.where(part.active, DONE, self._table["phase"][part.rows])


def _add(logits: Tensor, part: Part, tokens: Tensor, bias: Tensor) -> None:
    """Add biases to the logits of a part's active rows."""
    bias = torch.where(part.active[:, None], bias, 0).to(logits.dtype)
    logits.index_put_((part.index[:, None], tokens.long()), bias, accumulate=True)
