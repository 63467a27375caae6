"""Vocabularies from files: a plain list, CSV, JSONL; and back to JSONL. It knows bytes and lines, no models.

Plain list (`.txt`): one label a line; blank lines and lines that start with `#` are comments.
CSV (`.csv`, `.tsv`): a header; `label` or one column a language (`en`, `zh`, `zh-Hant`, ...), and optionally `id`, `facet`,
`aliases` or `aliases_<language>` (separated by `|`), `parent` (an id), `definition`.
JSONL (`.jsonl`): one object a line with `labels` (an object by language) or `label`, and the same optional fields;
`aliases` is an object of lists by language, or a list.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidVocabulary
from hangtag.jsonl import parse_objects, read_text
from hangtag.text import normalise
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary

MAX_BYTES = 512 * 1024 * 1024
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LANGUAGE_COLUMN = re.compile(r"[a-z]{2}(-[A-Za-z0-9]{2,8})*")
"""Two letters only: `sku` and `url` are no languages. Languages of three letters can be given as JSONL."""
_FIELDS = {"id", "label", "labels", "facet", "aliases", "parent", "definition"}
_NOT_LANGUAGES = _FIELDS | {"tag", "name"}

Row = tuple[int, Tag]
"""A tag and the number of the line that it stands on, from 1."""


def read_vocabulary(path: Path, *, name: str | None = None) -> TagVocabulary:
    """The vocabulary in `path`, by its ending. Raises `InvalidVocabulary` naming file and line; nothing is skipped."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidVocabulary(f"{path}: don't know the ending {path.suffix!r}; use one of {', '.join(sorted(_READERS))}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidVocabulary(f"{path}: the file is over {MAX_BYTES // 2**20} MiB; split the vocabulary")
    except OSError as error:
        raise InvalidVocabulary(f"{path}: can't be read: {error.strerror}") from error
    text = read_text(path, InvalidVocabulary)
    return parse_vocabulary(text, path.suffix.lower(), name=name or path.stem, source=str(path))


def parse_vocabulary(text: str, ending: str, *, name: str, source: str) -> TagVocabulary:
    """`read_vocabulary` for text already in memory; `source` is what error messages call it."""
    rows = list(_READERS[ending](text, source))
    if not rows:
        raise InvalidVocabulary(f"{source}: the file has no tags")
    try:
        return TagVocabulary(name, [tag for _, tag in rows], places=[f"line {line}" for line, _ in rows])
    except InvalidVocabulary as error:
        raise InvalidVocabulary(str(error).replace(f"{name}: ", f"{source}: ", 1)) from error


def write_jsonl(vocabulary: TagVocabulary, path: Path) -> None:
    """The vocabulary as JSONL, read back by `read_vocabulary` to an equal hash."""
    lines = []
    for tag in vocabulary:
        row: dict[str, Any] = {"id": tag.id, "labels": dict(tag.labels)}
        if tag.facet:
            row["facet"] = tag.facet
        if tag.aliases:
            row["aliases"] = {language: list(group) for language, group in tag.aliases.items()}
        if tag.definition:
            row["definition"] = tag.definition
        if tag.parent is not None:
            row["parent"] = tag.parent
        lines.append(json.dumps(row, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_list(text: str, source: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, Tag(id=normalise(line), labels={ANY_LANGUAGE: line})


def _read_csv(text: str, source: str, delimiter: str = ",") -> Iterator[Row]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    following = 1
    try:
        for cells in rows:
            number, following = following, rows.line_num + 1  # quoted cells may go over lines: a row is where it begins
            place = f"{source}: line {number}"
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _checked_header([cell.strip() for cell in cells], place)
            elif len(cells) != len(header):
                raise InvalidVocabulary(
                    f"{place}: {len(cells)} columns, the header has {len(header)}; quote cells that contain {delimiter!r}"
                )
            else:
                yield number, _tag_from_cells(dict(zip(header, cells, strict=True)), place)
    except csv.Error as error:
        raise InvalidVocabulary(f"{source}: line {following}: not valid CSV: {error}") from error


def _checked_header(header: list[str], place: str) -> list[str]:
    for column in header:
        language = column.removeprefix("aliases_")
        if column not in _FIELDS - {"labels"} and (language in _NOT_LANGUAGES or not _LANGUAGE_COLUMN.fullmatch(language)):
            raise InvalidVocabulary(
                f"{place}: unknown column {column!r}; use id, label or a language (en, zh), facet, aliases or"
                " aliases_<language>, parent, definition"
            )
    if len(set(header)) != len(header):
        raise InvalidVocabulary(f"{place}: a column stands twice in {header}")
    if not any(column == "label" or (column not in _FIELDS and not column.startswith("aliases_")) for column in header):
        raise InvalidVocabulary(f"{place}: no column has labels; name one `label` or after a language (en, zh)")
    return header


def _tag_from_cells(cells: dict[str, str], place: str) -> Tag:
    labels: dict[str, str] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    for column, cell in cells.items():
        if not cell.strip():
            continue
        if column == "aliases" or column.startswith("aliases_"):
            language = column.removeprefix("aliases").removeprefix("_") or ANY_LANGUAGE
            aliases[language] = tuple(cell.split("|"))
        elif column == "label":
            labels[ANY_LANGUAGE] = cell
        elif column not in _FIELDS:
            labels[column] = cell
    if not labels:
        raise InvalidVocabulary(f"{place}: the tag has no label")
    return Tag(
        id=cells.get("id", "").strip() or normalise(next(iter(labels.values()))),
        labels=labels,
        facet=cells.get("facet", ""),
        aliases=aliases,
        definition=cells.get("definition", ""),
        parent=cells.get("parent", "").strip() or None,
    )


def _read_jsonl(text: str, source: str) -> Iterator[Row]:
    for number, row in parse_objects(text, source, InvalidVocabulary):
        place = f"{source}: line {number}"
        if unknown := set(row) - _FIELDS:
            raise InvalidVocabulary(f"{place}: unknown field {min(unknown)!r}; use {', '.join(sorted(_FIELDS))}")
        yield number, _tag_from_object(row, place)


def _tag_from_object(row: dict[str, Any], place: str) -> Tag:
    def text(key: str) -> str:
        value = row.get(key) or ""
        if not isinstance(value, str):
            raise InvalidVocabulary(f"{place}: `{key}` is not a string")
        return value

    labels = row.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(label, str) for label in labels.values()):
        raise InvalidVocabulary(f"{place}: `labels` is not an object of strings by language")
    if text("label"):
        labels = {**labels, ANY_LANGUAGE: text("label")}
    for language in labels:
        if not _LANGUAGE.fullmatch(language):
            raise InvalidVocabulary(f"{place}: {language!r} is not a language; use BCP 47 codes such as en or zh")
    if not labels:
        raise InvalidVocabulary(f"{place}: the tag has no label; give `label` or `labels`")
    aliases = row.get("aliases") or {}
    groups = aliases if isinstance(aliases, dict) else {ANY_LANGUAGE: aliases}
    if not all(isinstance(group, list) and all(isinstance(a, str) for a in group) for group in groups.values()):
        raise InvalidVocabulary(f"{place}: `aliases` is neither a list of strings nor an object of such lists by language")
    return Tag(
        id=text("id") or normalise(next(iter(labels.values()))),
        labels=labels,
        facet=text("facet"),
        aliases={language: tuple(group) for language, group in groups.items()},
        definition=text("definition"),
        parent=text("parent") or None,
    )


_READERS: dict[str, Callable[[str, str], Iterator[Row]]] = {
    ".txt": _read_list,
    ".csv": _read_csv,
    ".tsv": lambda text, source: _read_csv(text, source, "\t"),
    ".jsonl": _read_jsonl,
}
