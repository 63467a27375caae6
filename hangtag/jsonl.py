"""Text files from people and programs, and JSON objects one a line, read once for every kind of file. It knows places in files,
not what the objects mean.

Every failure is raised as the error class that the caller names, and says which file and which line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidInput


def read_text(path: Path, error: type[InvalidInput]) -> str:
    """The text of a file in UTF-8, compressed if it ends with `.gz`; a byte order mark is no part of it."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as cause:
        raise error(f"{path}: can't be read: {getattr(cause, 'strerror', None) or cause}") from cause
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = cause.object[: cause.start].count(b"\n") + 1
        byte = cause.object[cause.start]
        raise error(f"{path}: line {line}: not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8") from cause


def parse_objects(text: str, source: str, error: type[InvalidInput], *, first: int = 1) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSONL with the numbers of their lines, from `first`; blank lines hold none. `source` is what messages call
    it. Lines end with a line feed only: other characters that end lines may stand in JSON strings."""
    for number, line in enumerate(text.split("\n"), start=first):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as cause:  # ValueError also where a number has too many digits
            raise error(f"{source}: line {number}: not valid JSON: {cause}") from cause
        if not isinstance(value, dict):
            raise error(f"{source}: line {number}: not a JSON object")
        yield number, value


def read_objects(path: Path, error: type[InvalidInput]) -> Iterator[tuple[int, dict[str, Any]]]:
    """`parse_objects` of a file."""
    return parse_objects(read_text(path, error), str(path), error)
