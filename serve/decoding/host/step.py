"""`HostStep`: a step of a batch on the host, row by row in machine code. It knows which part of an answer is done how."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import is_

import numpy as np
import torch
from torch import Tensor

from hangtag.explanation import OPEN, START
from serve.decoding.forest import ONLY_THE_END, TEXTS
from serve.decoding.host.masks import forbid_others, no_changes, place
from serve.decoding.host.native import kept, native, sources
from serve.decoding.host.priors import add_prior
from serve.decoding.host.quotations import advance_quotation, fill_quotation, lean, may_open, open_quotation
from serve.decoding.host.tables import Floats, Int64, Tables, look_up, sources_of
from serve.decoding.host.tags import advance_tags, fill_tags
from serve.decoding.phases import DONE, END, EXPLANATION, QUOTATION, TAGS
from serve.decoding.rows import BatchRows


class HostStep:
    """A step of `rows`. Making one makes the machine code, or loads it."""

    def __init__(self, rows: BatchRows) -> None:
        self._rows = rows
        self._changes, self._version = no_changes(rows.spare + 1), rows.forest.version
        self._found: tuple[Tensor, ...] | None = None
        self._fill, self._apply, self._advance = _machine_code()
        self.renew()
        nobody = torch.tensor([-1])
        self.fill(nobody)
        self.apply(torch.zeros((1, 1)), nobody)
        self.advance(nobody, nobody)

    def renew(self) -> None:
        """Look up the tables anew, which may have moved."""
        found = sources_of(self._rows)
        if self._found is not None and all(map(is_, found, self._found)):
            return
        if self._version != self._rows.forest.version:  # stored masks have other numbers
            self._changes, self._version = no_changes(self._rows.spare + 1), self._rows.forest.version
        self._tables, self._found = look_up(self._rows, self._changes), found

    def fill(self, rows: Tensor) -> None:
        """Bring the masks of (n,) rows up to date, -1 for none."""
        self._fill(self._tables, self._lines(rows))

    def apply(self, logits: Tensor, rows: Tensor) -> None:
        """Mask and bias (n, width) logits in place."""
        scores = logits.to(torch.float32).contiguous()
        self._apply(self._tables, self._lines(rows), scores.numpy())
        if scores is not logits:
            logits.copy_(scores)

    def advance(self, tokens: Tensor, rows: Tensor) -> None:
        """Take in (n,) tokens, one for each of (n,) rows."""
        self._advance(self._tables, self._lines(rows), _numbers(tokens))

    def _lines(self, rows: Tensor) -> Int64:
        lines = _numbers(rows)
        assert lines.max(initial=-1) < self._rows.spare, "there is no such row"  # machine code would not see it
        return lines


def _numbers(tensor: Tensor) -> Int64:
    return np.ascontiguousarray(tensor.numpy(), np.int64)


@lru_cache(maxsize=1)
def _machine_code() -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    hash_ = sources()

    @kept
    def fill(t: Tables, rows: Int64) -> None:
        hash_  # noqa: B018
        _fill(t, rows)

    @kept
    def apply(t: Tables, rows: Int64, logits: Floats) -> None:
        hash_  # noqa: B018
        _apply(t, rows, logits)

    @kept
    def advance(t: Tables, rows: Int64, tokens: Int64) -> None:
        hash_  # noqa: B018
        _advance(t, rows, tokens)

    return fill, apply, advance


@native
def _fill(t: Tables, rows: Int64) -> None:
    for row in rows:
        if row >= 0:
            _fill_row(t, row)


@native
def _apply(t: Tables, rows: Int64, logits: Floats) -> None:
    for line, row in enumerate(rows):
        if row < 0:
            continue
        _fill_row(t, row)
        if t.answers[row].phase == TAGS:
            add_prior(t, row, logits[line])
        elif t.answers[row].phase == QUOTATION:
            lean(t, row, logits[line])
        forbid_others(t.words[row], logits[line])


@native
def _advance(t: Tables, rows: Int64, tokens: Int64) -> None:
    for line, row in enumerate(rows):
        if row < 0:
            continue
        phase, token = t.answers[row].phase, min(max(tokens[line], 0), t.after.shape[1] - 1)
        if phase == TAGS:
            advance_tags(t, row, token)
        elif phase == EXPLANATION:
            _advance_explanation(t, row, token)
        elif phase == QUOTATION:
            advance_quotation(t, row, token)
        elif phase == END:
            t.answers[row].phase = DONE


@native
def _fill_row(t: Tables, row: int) -> None:
    answer, most = t.answers[row], t.longest_way_out + 1
    if answer.phase == TAGS:
        fill_tags(t, row)
    elif answer.phase == EXPLANATION:
        state = answer.text * (most + 1) + min(max(answer.left, 0), most)
        place(t, row, TEXTS + state * 2 + may_open(t, row))
    elif answer.phase == QUOTATION:
        fill_quotation(t, row)
    else:
        place(t, row, ONLY_THE_END)


@native
def _advance_explanation(t: Tables, row: int, token: int) -> None:
    answer = t.answers[row]
    text = t.after[answer.text, token]
    answer.left -= 1
    if token == t.eos:
        answer.phase = DONE
    elif text == OPEN:
        open_quotation(t, row)
    else:
        answer.text = max(text, START)
