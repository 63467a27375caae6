"""`native` and `kept`: functions over arrays as machine code, made by numba. They know no tables.

numba's cache knows a function by its own file and by what it takes from functions around it. What it calls, and the numbers
that it takes for constant, stand in other files: a hash of all of them is what it takes from around.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

import numba

import hangtag
import serve.decoding

Function = TypeVar("Function", bound=Callable[..., object])
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Without numba's runtime the users of arrays are not counted, which would cost more than all else here. It forbids to make
arrays, to give them back and to assign whole ones."""


def native(function: Function) -> Function:
    """`function`, made machine code when it is first called. Indexes are not checked."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def kept(function: Function) -> Function:
    """`native`, and the machine code is kept on disk where there is a place for it: beside the source, or among what the user
    keeps in caches (NUMBA_CACHE_DIR names another). `function` must be an inner one that mentions `sources()` from around."""
    assert function.__closure__ is not None, "numba's cache would not know what it comes from"
    try:
        return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # there is no place for it
        return native(function)


@lru_cache(maxsize=1)
def sources() -> str:
    """A hash of all that the machine code of a batch's step can come from."""
    places = (*hangtag.__path__, *serve.decoding.__path__)
    files = sorted(file for place in places for file in Path(place).rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
