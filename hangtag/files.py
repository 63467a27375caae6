"""Files that are written whole or not at all, whatever happens meanwhile. It knows places on the disk, not what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hangtag.errors import OutputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block has ended well and all of it is on the disk; else it
    is removed and `path` stays as it was. Raises `OutputError`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # it is not there, or nothing can be done where it is: what went wrong first is said
            partial.unlink()


def save_text(text: str, path: Path) -> None:
    """As UTF-8. Raises `OutputError`."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def save_json(content: Any, path: Path) -> None:
    """As JSON that people can read. Raises `OutputError`."""
    save_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", path)


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a file that the system does not let be written."""
    return OutputError(f"{path}: can't be written: {error.strerror or error}; make room or see who may write there")
