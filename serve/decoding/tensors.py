"""`TensorStep`: a step of a batch as torch operations, on any device. It knows which part of an answer is done how, and no data:
every operation is about all rows, and `active`, (n,) bool, says which of them it may change.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hangtag.explanation import OPEN, START, TEXT
from serve.decoding.forest import EVERYTHING, NOTHING, ONLY_THE_END
from serve.decoding.phases import DONE, END, EXPLANATION, QUOTATION, TAGS
from serve.decoding.rows import BatchRows


class TensorStep:
    """A step of `rows`."""

    def __init__(self, rows: BatchRows) -> None:
        self._rows, self._table, device = rows, rows.table, rows.device
        self._tags, self._priors, self._quotations = rows.tags, rows.priors, rows.quotations
        self._eos, self._longest_way_out = rows.grammar.eos_id, rows.grammar.longest_way_out
        self._after = torch.from_numpy(rows.grammar.after).to(device)
        octets = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        self._forbidden = torch.from_numpy((1 - octets).view(np.int64)[:, 0]).to(device)
        """For each byte of a packed mask eight bools, which are not set."""

    def renew(self) -> None:
        """Tables are looked up at each step anyway."""

    def fill(self, rows: Tensor) -> None:
        """Bring the masks of (n,) rows up to date, -1 for none."""
        self._fill(self._known(rows))

    def apply(self, logits: Tensor, rows: Tensor) -> None:
        """Mask and bias (n, width) logits in place."""
        r = self._known(rows)
        self._fill(r)
        phase = self._table["phase"][r]
        self._priors.weigh(r)
        tokens, bias, separator = self._priors.bias(r)
        _add(logits, phase == TAGS, tokens, bias)
        _add(logits, phase == TAGS, self._table["separator"][r, None], separator[:, None])
        tokens, bias = self._quotations.bias(r, self._table["left"][r], self._table["used"][r])
        _add(logits, phase == QUOTATION, tokens, bias)
        octets = self._rows.words.index_select(0, r).view(torch.uint8).view(-1)
        forbidden = self._forbidden.index_select(0, octets.int()).view(torch.bool).view(len(r), -1)
        logits.masked_fill_(forbidden[:, : logits.shape[1]], -math.inf)

    def advance(self, tokens: Tensor, rows: Tensor) -> None:
        """Take in (n,) tokens, one for each of (n,) rows."""
        r, table = self._known(rows), self._table
        tokens = tokens.to(self._rows.device, torch.long).clamp(min=0, max=self._after.shape[1] - 1)
        phase = table["phase"][r]
        self._advance_tags(r, phase == TAGS, tokens)
        self._advance_explanation(r, phase == EXPLANATION, tokens)
        self._advance_quotation(r, phase == QUOTATION, tokens)
        table["phase"][r] = torch.where(phase == END, DONE, table["phase"][r])

    def _known(self, rows: Tensor) -> Tensor:
        """Numbers of lines in the tables: the spare one for -1."""
        return torch.where(rows < 0, self._rows.spare, rows)

    def _fill(self, r: Tensor) -> None:
        table, words = self._table, self._rows.words
        phase, left = table["phase"][r], table["left"][r]
        may_open = self._quotations.may_open(r, left).long()
        text = self._rows.forest.text_masks(table["text"][r], left.clamp(max=self._longest_way_out + 1), may_open)
        stored = torch.where(phase == EXPLANATION, text, torch.where(phase == QUOTATION, NOTHING, ONLY_THE_END))
        stored = torch.where(phase == TAGS, self._tags.masks(r), stored)
        stored = torch.where(r == self._rows.spare, EVERYTHING, stored)
        words.index_copy_(0, r, self._rows.forest.masks.data.index_select(0, stored))
        self._tags.fill(r, phase == TAGS, words)
        self._quotations.fill(r, phase == QUOTATION, left, words)

    def _advance_tags(self, r: Tensor, active: Tensor, tokens: Tensor) -> None:
        table = self._table
        ended, completed = self._tags.advance(r, active, tokens)
        self._tags.complete(r, completed)
        following = torch.where(table["explains"][r] > 0, EXPLANATION, END)
        table["phase"][r] = torch.where(ended, following, table["phase"][r])
        table["left"][r] = torch.where(ended, table["longest"][r] + 1, table["left"][r])
        table["text"][r] = torch.where(ended, START, table["text"][r])

    def _advance_explanation(self, r: Tensor, active: Tensor, tokens: Tensor) -> None:
        table = self._table
        ended = active & (tokens == self._eos)
        text = self._after[table["text"][r], tokens].long()
        opened = active & ~ended & (text == OPEN)
        self._quotations.open(r, opened)
        phase = torch.where(ended, DONE, torch.where(opened, QUOTATION, EXPLANATION))
        table["phase"][r] = torch.where(active, phase, table["phase"][r])
        table["text"][r] = torch.where(active & ~ended & ~opened, text.clamp(min=START), table["text"][r])
        table["left"][r] -= active.long()

    def _advance_quotation(self, r: Tensor, active: Tensor, tokens: Tensor) -> None:
        table = self._table
        closed, ends = self._quotations.advance(r, active, tokens)
        self._quotations.spend(r, closed, ends)
        table["phase"][r] = torch.where(closed, EXPLANATION, table["phase"][r])
        table["text"][r] = torch.where(closed, TEXT, table["text"][r])
        table["left"][r] -= active.long()


def _add(logits: Tensor, active: Tensor, tokens: Tensor, bias: Tensor) -> None:
    """Add biases to the logits of active rows."""
    bias = torch.where(active[:, None], bias, 0).to(logits.dtype)
    line = torch.arange(len(logits), device=logits.device)[:, None]
    logits.index_put_((line, tokens.long()), bias, accumulate=True)
