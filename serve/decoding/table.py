"""`RowTable`: what is kept for each row of a batch, as tensors that widen with the largest request; and packed masks written by
index. It knows rows and columns, not what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Value = int | float | tuple[Sequence[int] | Sequence[float], int]
"""A number, or numbers and the width that they may grow to."""


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of a table: (rows,), or (rows, width) where it has a width; `blank` fills what a row does not use."""

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

    def put(self, row: int, **values: Value) -> None:
        """Write a row, on the host."""
        for name, value in values.items():
            if not isinstance(value, tuple):
                self._data[name][row] = value
                continue
            numbers, width = value
            self.widen(name, width)
            column = self._columns[name]
            line = torch.full((self._data[name].shape[1],), column.blank, dtype=column.dtype)
            line[: len(numbers)] = torch.tensor(numbers, dtype=column.dtype)
            self._data[name][row] = line.to(self.device)

    def widen(self, name: str, width: int) -> None:
        """Make room for `width` numbers a row."""
        data = self._data[name]
        if width > data.shape[1]:
            wider = data.new_full((self.rows, width), self._columns[name].blank)
            wider[:, : data.shape[1]] = data
            self._data[name] = wider


def scatter_bits(words: Tensor, r: Tensor, tokens: Tensor, active: Tensor) -> Tensor:
    """Set the bits of (n, C) `tokens`, all different where `active`, in rows `r` of (R, W) packed masks that have none of them
    set. Returns where, as indexes of the flattened masks."""
    at = r[:, None] * words.shape[1] + (tokens >> 5)
    bits = torch.where(active, torch.ones_like(tokens) << (tokens & 31), 0)
    words.view(-1).scatter_add_(0, at.view(-1), bits.view(-1))
    return at


def clear_bits(words: Tensor, r: Tensor, tokens: Tensor, active: Tensor) -> None:
    """Clear the bits of (n, C) `tokens`, all different where `active`, which must all be set there."""
    at = r[:, None] * words.shape[1] + (tokens >> 5)
    bits = torch.where(active, torch.ones_like(tokens) << (tokens & 31), 0)
    words.view(-1).scatter_add_(0, at.view(-1), -bits.view(-1))
