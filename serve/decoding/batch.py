"""`BatchConstraint`: the constraint over a batch of rows. `hangtag.constraint` defines what it does; it knows no model, and how
an engine names its rows is for adapters.

A step (`fill` or `apply`, then `advance`) is made of torch operations, which neither wait for the device nor have shapes that
depend on data, so it can run where the last token is only on the device. On a CPU it is machine code over the same tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import torch
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.explanation import ExplanationGrammar
from serve.decoding.phases import DONE
from serve.decoding.rows import BatchRows
from serve.decoding.tensors import TensorStep


class BatchConstraint:
    """At most `rows` answers over logits of `width`, all of one tokenizer. A row that is done may only repeat its end.

    `compiled`: whether a step is machine code, which is made or loaded now; by default on a CPU, where numba is installed.
    """

    def __init__(
        self,
        grammar: ExplanationGrammar,
        rows: int,
        width: int,
        device: torch.device | str = "cpu",
        *,
        compiled: bool | None = None,
    ) -> None:
        self._rows = BatchRows(grammar, rows, width, torch.device(device))
        if compiled if compiled is not None else self._rows.device.type == "cpu" and find_spec("numba") is not None:
            from serve.decoding.host.step import HostStep

            self._step: TensorStep | HostStep = HostStep(self._rows)
        else:
            self._step = TensorStep(self._rows)

    def put(self, row: int, constraint: AnswerConstraint, tokens: Iterable[int] = ()) -> None:
        """Begin an answer in `row`, `tokens` of it generated already. Host work, not for within a step."""
        self._rows.put(row, constraint, tokens)
        self._step.renew()

    def drop(self, row: int) -> None:
        """Forget the answer in `row`, if there is one."""
        self._rows.drop(row)

    def done(self) -> Tensor:
        """(rows,) bool: which rows have their end, or none was begun in."""
        return self._rows.table["phase"][: self._rows.spare] == DONE

    def fill(self, rows: Tensor | None = None) -> Tensor:
        """The packed masks, (rows, ceil(width / 32)) int32, those of `rows`, (n,) int64, brought up to date: bit t % 32 of word
        t // 32 is token t. They stay as they are until the next `fill`, and are not to be written to."""
        self._step.fill(self._all(self._rows.spare) if rows is None else rows)
        return self._rows.words[: self._rows.spare]

    def apply(self, logits: Tensor, rows: Tensor | None = None) -> None:
        """Mask and bias (n, width) logits in place; line i belongs to row `rows`[i], and to none where that is -1."""
        self._step.apply(logits, self._all(len(logits)) if rows is None else rows)

    def advance(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """Take in the (n,) tokens that were chosen for `rows`, all different but for -1; rows that are done stay so."""
        self._step.advance(tokens, self._all(len(tokens)) if rows is None else rows)

    def _all(self, count: int) -> Tensor:
        return torch.arange(count, device=self._rows.device)
