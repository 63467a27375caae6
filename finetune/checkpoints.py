"""Checkpoints of any training: which of them is whole, and what to do where the disk is full. It knows files, and no training."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from hangtag.errors import EngineError, OutputError

FULL = (errno.ENOSPC, errno.EDQUOT)


def last_whole(directory: Path) -> Path | None:
    """The last checkpoint that is whole: the trainer's state is written last. Those that are not are removed."""
    found = []
    for path in directory.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            found.append((int(state["global_step"]), path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path, ignore_errors=True)  # cut off while it was written
    return max(found)[1] if found else None


@contextmanager
def disk_watched(folder: Path, again: str) -> Iterator[None]:
    """A full disk as an error that says what to do, and `again` how to go on then. Raises `EngineError`."""
    try:
        yield
    except (OSError, OutputError, RuntimeError, SafetensorError) as error:
        reason = error.__cause__ if isinstance(error, OutputError) else error
        if getattr(reason, "errno", None) not in FULL and "No space left" not in str(error):
            raise
        raise EngineError(
            f"{folder}: the disk is full ({reason}); make room, then {again}: the last whole checkpoint is kept"
        ) from error
