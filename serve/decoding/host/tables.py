"""`Tables`: all that a step on the host reads and writes, as arrays that share their memory with the tensors of `BatchRows`. It
knows names and shapes; what the columns mean is for those who keep them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from serve.decoding.rows import BatchRows
from serve.decoding.table import NUMBERS, RowTable

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Words = NDArray[np.uint32]
Record = Any
"""A line of an array with named columns."""


class Tables(NamedTuple):
    """R rows and the spare one.

    answers: (R + 1,) records of the table's numbers, by the names of their columns
    at: (1,) a record of where each wide column begins in its block, by its name, and of its places, by its name and `_width`
    ints, longs, floats, flags: (R + 1, places) the blocks of wide columns
    nodes, leaves, ruled_out, before, masks, filled, filled_words: the forest's
    after, lengths, closing_after, closers, closing_left, eos, longest_way_out: what explanations are written by
    words: (R + 1, W) the packed masks of rows
    changes: (R + 1, FIRST + C) how the words of a row came about, see `serve.decoding.host.masks`
    """

    answers: NDArray[np.void]
    at: NDArray[np.void]
    ints: Int32
    longs: Int64
    floats: Floats
    flags: Bools
    nodes: Int32
    leaves: Int32
    ruled_out: Int32
    before: Int32
    masks: Words
    filled: Int32
    filled_words: Int32
    after: Int16
    lengths: Int64
    closing_after: Int64
    closers: Int64
    closing_left: Int64
    eos: int
    longest_way_out: int
    words: Words
    changes: Int64


def sources_of(rows: BatchRows) -> tuple[Tensor, ...]:
    """The tensors that `look_up` looks at and that may be others the next time: a table that widens or grows is made anew."""
    forest = rows.forest
    grown = (forest.nodes, forest.leaves, forest.ruled_out, forest.before, forest.masks, forest.filled, forest.filled_words)
    return (*rows.table.blocks.values(), *(table.data for table in grown))


def look_up(rows: BatchRows, changes: Int64) -> Tables:
    """The tables as they lie now."""
    table, forest, quotations, grammar = rows.table, rows.forest, rows.quotations, rows.grammar
    return Tables(
        answers=_records(table),
        at=_places(table),
        ints=table.blocks[torch.int32, True].numpy(),
        longs=table.blocks[torch.int64, True].numpy(),
        floats=table.blocks[torch.float32, True].numpy(),
        flags=table.blocks[torch.bool, True].numpy(),
        nodes=forest.nodes.data.numpy(),
        leaves=forest.leaves.data.numpy(),
        ruled_out=forest.ruled_out.data.numpy(),
        before=forest.before.data.numpy(),
        masks=forest.masks.data.numpy().view(np.uint32),
        filled=forest.filled.data.numpy(),
        filled_words=forest.filled_words.data.numpy(),
        after=grammar.after,
        lengths=quotations.lengths.numpy(),
        closing_after=quotations.closing_after.numpy(),
        closers=quotations.closers,
        closing_left=quotations.closing_left.numpy(),
        eos=grammar.eos_id,
        longest_way_out=grammar.longest_way_out,
        words=rows.words.numpy().view(np.uint32),
        changes=changes,
    )


def _records(table: RowTable) -> NDArray[np.void]:
    names = tuple(name for name, column in table.columns.items() if column.kind == NUMBERS)
    return table.blocks[NUMBERS].numpy().view(_record(names))[:, 0]


def _places(table: RowTable) -> NDArray[np.void]:
    wide = [name for name, column in table.columns.items() if column.wide]
    numbers = {name: table.begins[name] for name in wide} | {f"{name}_width": table.width(name) for name in wide}
    return np.array([tuple(numbers.values())], _record(tuple(numbers)))


@lru_cache
def _record(names: tuple[str, ...]) -> np.dtype[np.void]:
    """The same object for the same names: numba is slow to get to know another."""
    return np.dtype([(name, np.int64) for name in names])
