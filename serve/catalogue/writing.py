"""Tables written back: every row as it was, with some cells more, in files that are whole or not there. It knows how cells are
written, and not what stands in them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from hangtag.errors import InvalidData
from hangtag.files import whole
from serve.catalogue.tables import CsvTable, ParquetTable, Record, Table

SEPARATOR = "|"
"""Between the texts of a list in a cell of CSV."""

FORMULAS = tuple("=+-@\t\r＝＋－＠")
"""What a text begins with that a spreadsheet would run."""

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

TEXT, TEXTS, NUMBERS = "text", "texts", "numbers"
"""Kinds of columns that can be added."""


class Writer(Protocol):
    """Takes rows in the order of their file."""

    def write(self, record: Record, added: Mapping[str, Any]) -> None:
        """Write a row with other or more cells."""
        ...


def check_endings(source: Table, out: Path) -> None:
    """Raises `InvalidData` for a file that rows of `source` can't be written to."""
    if out.suffix.lower() not in ENDINGS:
        raise InvalidData(f"{out}: don't know the ending {out.suffix!r}; use .csv, .tsv, .jsonl or .parquet")
    if isinstance(source, ParquetTable) != (out.suffix.lower() == ".parquet"):
        raise InvalidData(
            f"{out}: rows of {source.path.name} can't be written as {out.suffix}; Parquet stays Parquet, text stays text"
        )


@contextmanager
def writing(source: Table, out: Path, added: Mapping[str, str]) -> Iterator[Writer]:
    """A writer of rows of `source` with columns more, given by their kinds; `out` is there when the block has ended well. CSV is
    UTF-8, written as the source was where that is CSV too. Raises `OutputError`, `InvalidData`."""
    with whole(out) as partial:
        if isinstance(source, ParquetTable):
            copy = ParquetCopy(source, partial, added)
            try:
                yield copy
                copy.finish()
            finally:
                copy.close()
            return
        signed = isinstance(source, CsvTable) and source.signed and out.suffix.lower() != ".jsonl"
        encoding = "utf-8-sig" if signed else "utf-8"
        with partial.open("w", encoding=encoding, errors="backslashreplace", newline="") as file:
            if out.suffix.lower() == ".jsonl":
                yield JsonWriter(file)
                return
            delimiter = "\t" if out.suffix.lower() == ".tsv" else ","
            newline = "\n"
            if isinstance(source, CsvTable):
                newline = source.newline
                ending = Path(source.path.name.lower().removesuffix(".gz")).suffix
                delimiter = source.delimiter if out.suffix.lower() == ending else delimiter
            columns = list(dict.fromkeys((*source.columns, *added)))
            yield CsvWriter(file, columns, delimiter, newline)


class CsvWriter:
    """Writes a header, then rows; a list is one cell, with SEPARATOR between its texts."""

    def __init__(self, file: TextIO, columns: Sequence[str], delimiter: str, newline: str) -> None:
        self._file, self._columns, self._newline = file, columns, newline
        self._row = io.StringIO()
        self._writer = csv.writer(self._row, delimiter=delimiter, lineterminator="\r\n")  # so that a cell with either is quoted
        self._put(columns)

    def write(self, record: Record, added: Mapping[str, Any]) -> None:
        """See `Writer`."""
        cells = {**record.cells, **added}
        self._put([text_of(cells.get(column)) for column in self._columns])

    def _put(self, cells: Sequence[str]) -> None:
        self._row.seek(0)
        self._row.truncate()
        self._writer.writerow(cells)
        self._file.write(self._row.getvalue().removesuffix("\r\n") + self._newline)


class JsonWriter:
    """Writes an object a line; a lone surrogate, which UTF-8 does not have, is JSON's escape."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: Record, added: Mapping[str, Any]) -> None:
        """See `Writer`."""
        self._file.write(json.dumps({**record.cells, **added}, ensure_ascii=False) + "\n")


class ParquetCopy:
    """Copies rows of a Parquet file in their own types, batch by batch, with columns more (in the place of those that have the
    same names)."""

    def __init__(self, source: ParquetTable, path: Path, added: Mapping[str, str]) -> None:
        import pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import pyarrow.parquet  # type: ignore[import-not-found, import-untyped, unused-ignore]

        types = {TEXT: pyarrow.string(), TEXTS: pyarrow.list_(pyarrow.string()), NUMBERS: pyarrow.list_(pyarrow.float64())}
        self._types = {name: types[kind] for name, kind in added.items()}
        kept = source.schema
        for name in added:
            if (place := kept.get_field_index(name)) >= 0:
                kept = kept.remove(place)
        self._names = kept.names
        for name, type_ in self._types.items():
            kept = kept.append(pyarrow.field(name, type_))
        self._schema = kept
        self._array, self._batch = pyarrow.array, pyarrow.record_batch
        self._batches = source.batches()
        self._current: Any = None
        self._first, self._next = 1, 1
        """The numbers of the current batch's first row, and of the one behind it."""
        self._rows: list[tuple[int, Mapping[str, Any]]] = []
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)

    def write(self, record: Record, added: Mapping[str, Any]) -> None:
        """See `Writer`."""
        while record.line >= self._next:
            self.finish()
            self._current = next(self._batches)
            self._first, self._next = self._next, self._next + self._current.num_rows
        self._rows.append((record.line - self._first, added))

    def finish(self) -> None:
        """Write the rows that are left of the current batch."""
        if self._rows:
            taken = self._current.take(self._array([place for place, _ in self._rows]))
            arrays = [taken.column(name) for name in self._names]
            for name, type_ in self._types.items():
                arrays.append(self._array([added.get(name) for _, added in self._rows], type_))
            self._writer.write_batch(self._batch(arrays, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """End the file."""
        self._batches.close()
        self._writer.close()


def text_of(value: Any) -> str:
    """A value as a cell of CSV."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return SEPARATOR.join(map(str, value))
    return json.dumps(value, ensure_ascii=False)


def harmless(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula: behind an apostrophe, if need be, which says "this is text"."""
    return f"'{text}" if text.startswith(FORMULAS) else text
