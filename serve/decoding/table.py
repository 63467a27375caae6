"""`RowTable`: what is kept for each row of a batch, as tensors that widen with the largest request; and operations that look at
as many places whatever the data, so that nothing waits for the device. They know rows and columns, not what these mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Value = int | float | Sequence[int] | Sequence[float] | NDArray[np.generic]
Kind = tuple[torch.dtype, bool]
NUMBERS: Kind = (torch.int64, False)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: (rows,), or (rows, width) where it is wide; `blank` fills what a row does not use."""

    name: str
    dtype: torch.dtype = torch.int64
    blank: int | float = 0
    wide: bool = False

    @property
    def kind(self) -> Kind:
        """What it shares with the columns that it lies beside."""
        return self.dtype, self.wide


class RowTable:
    """Tensors by name, a row for each request and one more, which belongs to none. Columns of one kind, (dtype, wide), lie side
    by side in one of the `blocks`, (rows + 1, places), each from its `begins` on, in the order they were given."""

    def __init__(self, rows: int, device: torch.device, columns: Sequence[Column]) -> None:
        self.rows, self.device = rows + 1, device
        self.columns = {column.name: column for column in columns}
        self.blocks: dict[Kind, Tensor] = {}
        self.begins: dict[str, int] = {}
        self._widths = dict.fromkeys(self.columns, 1)
        self._data: dict[str, Tensor] = {}
        self._host: dict[str, NDArray[np.generic]] = {}
        """The same on a CPU, for numpy: writing a row is many small steps, of which one by torch takes ten times as long."""
        for kind in dict.fromkeys(column.kind for column in columns):
            self._lay_out(kind)

    def __getitem__(self, name: str) -> Tensor:
        return self._data[name]

    def width(self, name: str) -> int:
        """Places of a column."""
        return self._widths[name]

    def put(self, row: int, **values: Value) -> None:
        """Write a row, on the host; a wide column gets as wide as its values."""
        self.widen(**{name: len(value) for name, value in values.items() if not isinstance(value, int | float)})
        for name, value in values.items():
            if self._host:
                _write(self._host[name], row, value, self.columns[name].blank)
                continue
            if isinstance(value, int | float):
                self._data[name][row] = value
                continue
            line = self._data[name][row]
            line[: len(value)] = torch.from_numpy(np.asarray(value)).to(line) if len(value) else 0
            line[len(value) :] = self.columns[name].blank

    def widen(self, **widths: int) -> None:
        """Make room for so many numbers a row."""
        wider = {name: width for name, width in widths.items() if width > self._widths[name]}
        before, self._widths = self._widths, self._widths | wider
        try:
            for kind in {self.columns[name].kind for name in wider}:
                self._lay_out(kind)
        except BaseException:  # no memory left: all stays as wide as it was
            self._widths = before
            raise

    def _lay_out(self, kind: Kind) -> None:
        """Make a block anew, with what there is in its columns."""
        names = [name for name, column in self.columns.items() if column.kind == kind]
        block = torch.empty((self.rows, sum(self._widths[name] for name in names)), dtype=kind[0], device=self.device)
        begin = 0
        for name in names:
            line, known, column = block[:, begin : begin + self._widths[name]], self._data.get(name), self.columns[name]
            line.fill_(column.blank)
            if known is not None:
                line[:, : known.shape[1]] = known
            self._data[name] = line if column.wide else line[:, 0]
            if self.device.type == "cpu":
                self._host[name] = self._data[name].numpy()
            self.begins[name] = begin
            begin += self._widths[name]
        self.blocks[kind] = block


def _write(data: NDArray[np.generic], row: int, value: Value, blank: int | float) -> None:
    if isinstance(value, int | float):
        data[row] = value
        return
    line = data[row]
    line[: len(value)] = value
    line[len(value) :] = blank


def pairs(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All places of (n, C) bools, flat: the line of each, its number within the line, whether it is true."""
    count, width = chosen.shape
    line = torch.arange(count, device=chosen.device).repeat_interleave(width)
    return line, torch.arange(width, device=chosen.device).repeat(count), chosen.reshape(-1)


def spread(counts: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers below `most` for each of (n,) counts, flat: the line of each, the number, whether it is below the count."""
    line = torch.arange(len(counts), device=counts.device).repeat_interleave(most)
    number = torch.arange(most, device=counts.device).repeat(len(counts))
    return line, number, number < counts[line]


def add_bits(words: Tensor, rows: Tensor, tokens: Tensor, valid: Tensor, *, clear: bool = False) -> None:
    """Set or clear bits in (R, W) packed masks: those of (F,) `tokens` in (F,) `rows`, all different where `valid`, none of
    which are as they shall be."""
    places = rows * words.shape[1] + (tokens >> 5)
    bits = torch.where(valid, torch.ones_like(tokens) << (tokens & 31), 0)
    words.view(-1).scatter_add_(0, places, -bits if clear else bits)
