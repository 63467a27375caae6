"""Tables of a shop as records with places: CSV, TSV, JSONL and Parquet, a row at a time. It knows cells and lines, and not what
columns mean.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from hangtag.errors import InvalidData
from hangtag.jsonl import parse_objects

UTF_8 = "utf-8-sig"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DELIMITERS = ",;\t"
ROWS_A_BATCH = 1024
"""Of a Parquet file, in memory at a time."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row's cells by column, and its line (of a Parquet file: its number), from 1."""

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A row that can't be read: its line, its text as it stands there (bytes that are no text as lone surrogates), and why."""

    line: int
    text: str
    reason: str
    undecodable: bool = False


class Table(Protocol):
    """A file of rows. Its rows are read anew, one after the other, each time they are asked for."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns, each once."""
        ...

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Record | BrokenRecord]:
        """The rows in their order; of a Parquet file with the `wanted` columns only. Raises `InvalidData` where the file can't be
        read on."""
        ...


def open_table(path: Path, encoding: str | None = None) -> Table:
    """The table in a file, by its ending (`.gz` behind text is fine). Text is UTF-8, or UTF-16 with a byte order mark, unless
    `encoding` says otherwise. Raises `InvalidData`."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return ParquetTable(path)
    if name.endswith((".csv", ".tsv")):
        return CsvTable(path, encoding or _encoding(path))
    if name.endswith(".jsonl"):
        return JsonTable(path, encoding or _encoding(path))
    raise InvalidData(f"{path}: don't know the ending {path.suffix!r}; use .csv, .tsv, .jsonl or .parquet")


def read_table(path: Path) -> tuple[Sequence[str], list[Record]]:
    """Columns and records of a file. Raises `InvalidData` naming file and line, also for a single row that can't be read."""
    table = open_table(path)
    records = []
    for record in table.rows():
        if isinstance(record, BrokenRecord):
            raise InvalidData(f"{path}: line {record.line}: {record.reason}")
        records.append(record)
    return table.columns, records


class CsvTable:
    """Rows of cells under a header. `delimiter` is the one that makes most columns of the header, `newline` what ends it,
    `signed` whether a spreadsheet may need a byte order mark to read the file again."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        with _lines(path, encoding, newline="") as lines:
            first = next((line for line in lines if line.strip()), "")
        self.newline = "\r\n" if first.endswith("\r\n") else "\n"
        with _opened(path) as file:
            self.signed = encoding != UTF_8 or file.read(3) == b"\xef\xbb\xbf"
        self.delimiter = max("\t" if ".tsv" in path.suffixes else DELIMITERS, key=lambda each: len(_split(first, each)))
        self._header = next(self._read(), None)
        if isinstance(self._header, BrokenRecord):
            raise InvalidData(f"{path}: line {self._header.line}: {self._header.reason}")
        self.columns = tuple(cell.strip() for cell in self._header[1]) if self._header else ()
        if self._header and len(set(self.columns)) != len(self.columns):
            raise InvalidData(f"{path}: line {self._header[0]}: a column stands twice in {list(self.columns)}")

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Record | BrokenRecord]:
        """See `Table`. Where quotes are broken, only the first line of what they hold is lost: reading goes on behind it."""
        found = self._read()
        next(found, None)
        for row in found:
            if isinstance(row, BrokenRecord):
                yield row
                continue
            line, cells, text = row
            if len(cells) == len(self.columns):
                yield Record(line, dict(zip(self.columns, cells, strict=True)))
            else:
                columns = f"{len(cells)} columns, the header has {len(self.columns)}"
                yield BrokenRecord(line, text, f"{columns}; quote cells with {self.delimiter!r}")

    def _read(self) -> Iterator[tuple[int, list[str], str] | BrokenRecord]:
        """Rows that are not blank: line, cells, and text."""
        with _lines(self.path, self.encoding, newline="") as lines:
            again: deque[str] = deque()
            following = 1
            while True:
                taken: list[str] = []
                try:
                    cells = next(csv.reader(_taking(again, lines, taken), delimiter=self.delimiter, strict=True), None)
                except csv.Error as error:
                    again.extendleft(reversed(taken[1:]))
                    yield BrokenRecord(following, taken[0], f"not valid CSV: {error}")
                    following += 1
                    continue
                if cells is None:
                    return
                number, following, text = following, following + len(taken), "".join(taken)
                if (reason := _undecodable(text, self.encoding)) is not None:
                    yield BrokenRecord(number, text, reason, undecodable=True)
                elif any(cell.strip() for cell in cells):
                    yield number, cells, text


class JsonTable:
    """An object a line; its columns are those that any of the objects has."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding

    @cached_property
    def columns(self) -> Sequence[str]:
        """See `Table`."""
        records = (record for record in self.rows() if isinstance(record, Record))
        return tuple(dict.fromkeys(name for record in records for name in record.cells))

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Record | BrokenRecord]:
        """See `Table`. Only a line feed ends a line: other characters that do may stand in JSON strings."""
        with _lines(self.path, self.encoding, newline="\n") as lines:
            for number, text in enumerate(lines, start=1):
                if (reason := _undecodable(text, self.encoding)) is not None:
                    yield BrokenRecord(number, text, reason, undecodable=True)
                    continue
                try:
                    yield from (Record(line, given) for line, given in parse_objects(text, "", InvalidData, first=number))
                except InvalidData as error:
                    yield BrokenRecord(number, text, str(error).removeprefix(f": line {number}: "))


class ParquetTable:
    """A Parquet file; rows are numbered from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._file() as file:
            self.columns: Sequence[str] = tuple(file.schema_arrow.names)
            self.count = int(file.metadata.num_rows)

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Record | BrokenRecord]:
        """See `Table`."""
        columns = list(self.columns) if wanted is None else [column for column in self.columns if column in wanted]
        if not columns:
            yield from (Record(number, {}) for number in range(1, self.count + 1))
            return
        number = 0
        for batch in self.batches(columns):
            for cells in batch.to_pylist():
                number += 1
                yield Record(number, cells)

    def batches(self, columns: Sequence[str] | None = None) -> Generator[Any, None, None]:
        """The rows as Arrow's record batches, as they are stored."""
        with self._file() as file:
            yield from file.iter_batches(ROWS_A_BATCH, columns=columns)

    @property
    def schema(self) -> Any:
        """Arrow's schema of the file."""
        with self._file() as file:
            return file.schema_arrow

    @contextmanager
    def _file(self) -> Iterator[Any]:
        try:
            import pyarrow.parquet  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise InvalidData(f"{self.path}: Parquet needs pyarrow; install hangtag with the extra parquet") from error
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield file
        except (OSError, pyarrow.ArrowException) as error:
            raise InvalidData(f"{self.path}: can't be read as Parquet: {error}") from error


def _encoding(path: Path) -> str:
    with _opened(path) as file:
        return "utf-16" if file.read(2) in UTF_16_MARKS else UTF_8


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as cause:
        raise InvalidData(f"{path}: can't be read: {getattr(cause, 'strerror', None) or cause}") from cause


@contextmanager
def _lines(path: Path, encoding: str, *, newline: str) -> Iterator[Iterator[str]]:
    """The lines of a text file with what ends them; a byte that the encoding does not have becomes a lone surrogate."""
    with _opened(path) as file:
        try:
            yield TextIOWrapper(file, encoding, errors="surrogateescape", newline=newline)
        except LookupError as error:
            raise InvalidData(f"{path}: {encoding!r} is no encoding; use one such as utf-8, utf-16 or gb18030") from error
        except UnicodeError as error:  # UTF-16 says so of a file without a byte order mark
            why = getattr(error, "reason", error)
            raise InvalidData(f"{path}: not {encoding}: {why}; save the file as UTF-8") from error


def _taking(again: deque[str], lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Lines that have to be read again, then those that follow; whatever is read is noted in `taken`."""
    while True:
        line = again.popleft() if again else next(lines, None)
        if line is None:
            return
        taken.append(line)
        yield line


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _undecodable(text: str, encoding: str) -> str | None:
    """Why a text that was read with lone surrogates for bad bytes is none; None for a good one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) - 0xDC00
        what = f"byte 0x{byte:02x}" if 0x80 <= byte <= 0xFF else "a lone surrogate"
        name = "UTF-8" if encoding == UTF_8 else encoding
        return f"not {name} ({what}); save the file as UTF-8"
    return None
