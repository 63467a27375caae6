"""Compressed files of tab-separated columns below a header. It knows places, not what columns mean."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from hangtag.errors import InvalidData


def read_columns(file: Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """The rows below the header of a gzip file, each with its place. Raises `InvalidData` naming file and line."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                cells = line.rstrip("\n").split("\t")
                if len(cells) != columns:
                    raise InvalidData(f"{file}: line {number}: {len(cells)} columns instead of {columns}")
                if number > 1:
                    yield f"{file}: line {number}", cells
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidData(f"{file}: can't be read: {error}") from error
