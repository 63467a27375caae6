"""Tables of a shop as records with places: CSV, TSV, JSONL and Parquet. It knows cells and lines, and not what columns mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidData
from hangtag.jsonl import parse_objects, read_text


@dataclass(frozen=True, slots=True)
class Record:
    """A row's cells by column, and its line (of a Parquet file: its number), from 1."""

    line: int
    cells: dict[str, Any]


def read_table(path: Path) -> tuple[list[str], list[Record]]:
    """Columns and records of a file, by its ending (`.gz` behind text is fine). JSONL has the columns that any of its objects
    has. Raises `InvalidData` naming file and line."""
    name = path.name.lower().removesuffix(".gz")
    for endings, reader in _READERS:
        if name.endswith(endings):
            return reader(path)
    raise InvalidData(f"{path}: don't know the ending {path.suffix!r}; use .csv, .tsv, .jsonl or .parquet")


def _read_csv(path: Path) -> tuple[list[str], list[Record]]:
    text = read_text(path, InvalidData)
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    records: list[Record] = []
    following = 1
    try:
        for cells in rows:
            number, following = following, rows.line_num + 1  # quoted cells may go over lines: a row is where it begins
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if len(set(header)) != len(header):
                    raise InvalidData(f"{path}: line {number}: a column stands twice in {header}")
            elif len(cells) != len(header):
                raise InvalidData(
                    f"{path}: line {number}: {len(cells)} columns, the header has {len(header)}; quote cells with {delimiter!r}"
                )
            else:
                records.append(Record(number, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise InvalidData(f"{path}: line {following}: not valid CSV: {error}") from error
    return header, records


def _read_jsonl(path: Path) -> tuple[list[str], list[Record]]:
    objects = parse_objects(read_text(path, InvalidData), str(path), InvalidData)
    records = [Record(line, given) for line, given in objects]
    return list(dict.fromkeys(name for record in records for name in record.cells)), records


def _read_parquet(path: Path) -> tuple[list[str], list[Record]]:
    try:
        import pyarrow.parquet  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise InvalidData(f"{path}: Parquet needs pyarrow; install hangtag with the extra finetune") from error
    try:
        table = pyarrow.parquet.read_table(path)
        return list(table.column_names), list(_records(table))
    except (OSError, pyarrow.ArrowException) as error:
        raise InvalidData(f"{path}: can't be read as Parquet: {error}") from error


def _records(table: Any) -> Iterator[Record]:
    number = 0
    for batch in table.to_batches():
        for cells in batch.to_pylist():
            number += 1
            yield Record(number, cells)


_READERS = (
    ((".csv", ".tsv"), _read_csv),
    ((".jsonl",), _read_jsonl),
    ((".parquet",), _read_parquet),
)
