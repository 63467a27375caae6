"""Rows and their tags as a sparse matrix. It knows indexes only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


def indicator(rows: Sequence[Iterable[int]], tags: int) -> csr_array:
    """1 where a row has a tag, shape (rows, tags)."""
    sets = [sorted(set(row)) for row in rows]
    columns = np.fromiter((tag for row in sets for tag in row), dtype=np.int32, count=sum(map(len, sets)))
    indptr: NDArray[np.int32] = np.cumsum([0, *map(len, sets)]).astype(np.int32)
    return csr_array((np.ones(len(columns), dtype=np.float32), columns, indptr), shape=(len(sets), tags))
