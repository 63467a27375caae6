"""hangtag's constraint over rows of tensors as benchmarks see it, with the rules, priors and listings of `eval.speed.ours`. It
knows how the tensor form is used, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from eval.speed.engine import Batch, Matcher, Task, Words
from eval.speed.ours import Hangtag
from hangtag.constraint import AnswerConstraint
from serve.decoding.batch import BatchConstraint


class TensorHangtag(Hangtag):
    """The same over rows as tensors, `serve.decoding.batch`; a single answer is a batch of one row."""

    ways = ("tensors",)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._one_row = self._machine(1)  # as a server makes its machine when it starts, before it knows any vocabulary

    def open(self, number: int, words: Words) -> Matcher:
        return _OnlyRow(self._one_row, self.constraint(number))

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        machine = self._machine(len(numbers))
        for row, number in enumerate(numbers):
            machine.put(row, self.constraint(number))
        return _TensorBatch(self, machine)

    def take_first_request(self) -> None:
        self._one_row.put(0, self.constraint(0))

    def _machine(self, rows: int) -> BatchConstraint:
        return BatchConstraint(self.grammar, rows=rows, width=self.task.tokenizer.size, device="cpu")


class _OnlyRow:
    def __init__(self, machine: BatchConstraint, constraint: AnswerConstraint) -> None:
        self._machine = machine
        self._constraint = constraint
        self.restart()

    def restart(self) -> None:
        self._machine.put(0, self._constraint)

    def fill(self) -> Words:
        words: Words = self._machine.fill()[0].numpy()
        return words

    def accept(self, token: int) -> None:
        self._machine.advance(torch.tensor([token]))


class _TensorBatch:
    def __init__(self, engine: TensorHangtag, machine: BatchConstraint) -> None:
        self._engine = engine
        self._machine = machine
        self.apply = machine.apply

    def restart(self, row: int, number: int) -> None:
        self._machine.put(row, self._engine.constraint(number))

    def fill(self) -> Words:
        words: Words = self._machine.fill().numpy()
        return words

    def accept(self, tokens: NDArray[np.int64]) -> None:
        self._machine.advance(torch.from_numpy(tokens))
