"""Data files of a recipe as rows: columns are given their meaning, then evaluation's own reader reads them. It knows rows and
places in files, and nothing of splits or models.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from eval.rows import Row, RowFile, Skipped, read_file
from finetune.config import Columns, DataFile
from finetune.feedback import Feedback, read_feedback
from hangtag.errors import InvalidData
from hangtag.history import EVENT_WEIGHTS
from serve.catalogue.tables import Record, read_table

BLOCK = 1 << 40
"""Lines of the second of several files are counted from here, of the third from twice that."""


@dataclass(frozen=True, slots=True)
class RowFiles(RowFile):
    """The rows of several files as one; places name the file that a row came from."""

    paths: tuple[Path, ...] = ()

    def place(self, position: int) -> str:
        """See `RowFile`."""
        number = self.lines[position]
        return f"{self.paths[number // BLOCK]}: line {number % BLOCK}"

    def only(self, positions: Iterable[int]) -> RowFiles:
        """With the rows at these positions."""
        kept = list(positions)
        return replace(self, rows=tuple(self.rows[p] for p in kept), lines=tuple(self.lines[p] for p in kept))

    def with_rows(self, rows: Iterable[Row]) -> RowFiles:
        """With other rows in the same places."""
        return replace(self, rows=tuple(rows))


@dataclass(frozen=True, slots=True)
class Source:
    """All rows of a recipe, and by the id of a row what its user did there (none where files do not say), and for rows that are
    feedback what a merchant said."""

    rows: RowFiles
    behaviours: Mapping[str, str]
    feedback: Mapping[str, Feedback] = field(default_factory=dict)


def read_sources(files: Iterable[DataFile], feedback: Iterable[Path] = (), *, skip_bad: bool) -> Source:
    """The rows of all files, those of feedback last. Raises `InvalidData` for a missing column, a bad line (with `skip_bad` it is
    left out) and an id that two files have."""
    rows: list[Row] = []
    lines: list[int] = []
    skipped: list[Skipped] = []
    paths: list[Path] = []
    behaviours: dict[str, str] = {}
    for file in files:
        found = _read(file, skip_bad, behaviours)
        rows += found.rows
        lines += (line + len(paths) * BLOCK for line in found.lines)
        skipped += found.skipped
        paths.append(file.path)
    said: dict[str, Feedback] = {}
    for path in feedback:
        given, bad = read_feedback(path, skip_bad=skip_bad)
        rows += (each.row for _, each in given)
        lines += (line + len(paths) * BLOCK for line, _ in given)
        skipped += bad
        paths.append(path)
        said |= {each.row.listing.id: each for _, each in given}
    whole = RowFiles(paths[0], tuple(rows), tuple(lines), "", tuple(skipped), tuple(paths))
    seen: dict[str, int] = {}
    for position, row in enumerate(rows):
        other = seen.setdefault(row.listing.id, position)
        if other != position:
            message = (
                f"{whole.place(position)}: the id {row.listing.id!r} stands in {whole.place(other)} already; ids must differ"
            )
            raise InvalidData(message, field="id")
    return Source(whole, behaviours, said)


def _read(file: DataFile, skip_bad: bool, behaviours: dict[str, str]) -> RowFile:
    if file.columns is None:
        if not file.path.name.removesuffix(".gz").endswith(".jsonl"):
            raise InvalidData(f"{file.path}: say in `columns` what its columns are; only rows in JSONL need nothing said")
        return read_file(file.path, skip_bad=skip_bad)
    header, records = read_table(file.path)
    _check_columns(file, file.columns, header)
    with tempfile.TemporaryDirectory() as folder:  # a row on the line that it has in its own file, so that places are right
        lined = Path(folder) / "rows.jsonl"
        bad = _write_lined(file, file.columns, records, lined, behaviours, skip_bad)
        try:
            found = read_file(lined, skip_bad=skip_bad)
        except InvalidData as error:
            raise InvalidData(str(error).replace(str(lined), str(file.path)), field=error.field) from error
    return replace(found, path=file.path, skipped=(*bad, *(replace(each, file=str(file.path)) for each in found.skipped)))


def _check_columns(file: DataFile, columns: Columns, header: Sequence[str]) -> None:
    named = columns.model_dump(exclude={"attributes"}, exclude_none=True)
    for key, column in [*named.items(), *(("attributes", each) for each in columns.attributes)]:
        if column not in header:
            near = difflib.get_close_matches(column, header, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidData(
                f"{file.path}: there is no column {column!r} for {key}; {hint}columns: {', '.join(header)}", field=key
            )


def _write_lined(
    file: DataFile, columns: Columns, records: list[Record], path: Path, behaviours: dict[str, str], skip_bad: bool
) -> list[Skipped]:
    bad = []
    with path.open("w", encoding="utf-8") as out:
        at = 1
        for record in records:
            out.write("\n" * (record.line - at))
            at = record.line
            try:
                row = _row(file, columns, record)
                if columns.behaviour is not None:
                    behaviours[row["id"]] = _behaviour(file, str(record.cells.get(columns.behaviour) or ""))
            except InvalidData as error:
                if not skip_bad:
                    raise InvalidData(f"{file.path}: line {record.line}: {error}", field=error.field) from error
                bad.append(Skipped(str(file.path), record.line, str(error)))
            else:
                out.write(json.dumps(row, ensure_ascii=False))
    return bad


def _row(file: DataFile, columns: Columns, record: Record) -> dict[str, Any]:
    """The record in the form that `eval.rows` reads."""

    def text(column: str | None) -> str:
        value = record.cells.get(column) if column is not None else None
        return "" if value is None else str(value).strip()

    product = text(columns.product_id)
    row: dict[str, Any] = {
        "id": text(columns.id) or (product if product and columns.user_id is None else f"{file.path.name}:{record.line}"),
        "product_id": product,
        "tags": _tags(record.cells.get(columns.tags), file.separator),
        "attributes": {name: text(name) for name in columns.attributes if text(name)},
    }
    for key in ("title", "description", "language", "category", "user_id"):
        if value := text(getattr(columns, key)):
            row[key] = value
    if columns.at is not None:
        row["at"] = _time(record.cells.get(columns.at), file.zone)
    return row


def _tags(given: Any, separator: str) -> list[str]:
    parts = given if isinstance(given, list) else str(given or "").split(separator)
    return list(dict.fromkeys(text for part in parts if (text := str(part).strip())))


def _behaviour(file: DataFile, given: str) -> str:
    kind = file.behaviours.get(given, given)
    if kind not in EVENT_WEIGHTS:
        known = ", ".join(EVENT_WEIGHTS)
        raise InvalidData(f"unknown behaviour {given!r}; say in `behaviours` which of {known} it is", field="behaviour")
    return kind


def _time(given: Any, zone: str | None) -> str:
    try:
        time = given if isinstance(given, datetime) else datetime.fromisoformat(str(given or ""))
        if time.tzinfo is None and zone is not None:
            time = time.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise InvalidData(f"{given!r} is no time ({error}); write it like 2026-01-31T18:00:00Z", field="at") from error
    if time.tzinfo is None:
        raise InvalidData(f"the time {given!r} has no zone; give the file a `zone`, such as Europe/Berlin", field="at")
    return time.isoformat()
