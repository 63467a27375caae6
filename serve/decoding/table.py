"""`RowTable`: what is kept for each row of a batch, as tensors that widen with the largest request; and `Shapes`, which decides
how many places an operation looks at. They know rows and columns, not what these mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Value = int | float | Sequence[int] | Sequence[float] | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of a table: (rows,), or (rows, width) where it is wide; `blank` fills what a row does not use."""

    name: str
    dtype: torch.dtype = torch.int64
    blank: int | float = 0
    wide: bool = False


class RowTable:
    """Tensors by name, a row for each request and one more, which belongs to none."""

    def __init__(self, rows: int, device: torch.device, columns: Sequence[Column]) -> None:
        self.rows, self.device = rows + 1, device
        self._columns = {column.name: column for column in columns}
        self._data = {
            column.name: torch.full((self.rows, *[1] * column.wide), column.blank, dtype=column.dtype, device=device)
            for column in columns
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._data[name]

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self._data[name] = tensor

    def flat(self, name: str) -> Tensor:
        """A wide column as one line: row r, place c is at r * width + c."""
        return self._data[name].view(-1)

    def width(self, name: str) -> int:
        """Places of a wide column."""
        return self._data[name].shape[1]

    def put(self, row: int, **values: Value) -> None:
        """Write a row, on the host; a wide column gets as wide as its values."""
        for name, value in values.items():
            if isinstance(value, int | float):
                self._data[name][row] = value
                continue
            numbers = torch.from_numpy(np.asarray(value)) if len(value) else torch.empty(0)
            self.widen(name, len(numbers))
            line = self._data[name][row]
            line[: len(numbers)] = numbers.to(self.device, line.dtype)
            line[len(numbers) :] = self._columns[name].blank

    def widen(self, name: str, width: int) -> None:
        """Make room for `width` numbers a row."""
        data = self._data[name]
        if width > data.shape[1]:
            wider = data.new_full((self.rows, width), self._columns[name].blank)
            wider[:, : data.shape[1]] = data
            self._data[name] = wider


class Shapes:
    """Where an operation looks: only where there is something (`by_data`), or at as many places whatever the data, so that
    nothing waits for the device. Answers are flat: for each place its line, its number within the line, whether it counts."""

    def __init__(self, by_data: bool) -> None:
        self.by_data = by_data

    def pairs(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The places of (n, C) bools that are true."""
        if self.by_data:
            line, number = chosen.nonzero(as_tuple=True)
            return line, number, torch.ones_like(line, dtype=torch.bool)
        count, width = chosen.shape
        line = torch.arange(count, device=chosen.device).repeat_interleave(width)
        return line, torch.arange(width, device=chosen.device).repeat(count), chosen.reshape(-1)

    def spread(self, counts: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """The numbers below each of (n,) counts, which are at most `most`."""
        if self.by_data:
            line = torch.repeat_interleave(counts)
            number = torch.arange(len(line)) - (counts.cumsum(0) - counts)[line]
            return line, number, torch.ones_like(line, dtype=torch.bool)
        line = torch.arange(len(counts), device=counts.device).repeat_interleave(most)
        number = torch.arange(most, device=counts.device).repeat(len(counts))
        return line, number, number < counts[line]


def add_bits(words: Tensor, rows: Tensor, tokens: Tensor, valid: Tensor, *, clear: bool = False) -> Tensor:
    """Set or clear bits in (R, W) packed masks: those of (F,) `tokens` in (F,) `rows`, all different where `valid`, none of
    which are as they shall be. Returns where, as indexes of the flattened masks."""
    places = rows * words.shape[1] + (tokens >> 5)
    bits = torch.where(valid, torch.ones_like(tokens) << (tokens & 31), 0)
    words.view(-1).scatter_add_(0, places, -bits if clear else bits)
    return places
