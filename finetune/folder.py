"""A run's folder: what it says of itself, which of its checkpoints is whole, whether it may be gone on with and has room. It
knows files, and neither data nor training.

run.json (recipe, hashes), train.jsonl and validation.jsonl (rows as evaluation reads them), vocabulary.jsonl, prompt.j2,
checkpoints/, best/ (the adapter), evaluations.jsonl, curves.json, curves.png.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.checkpoints import last_whole
from finetune.judge import BEST
from finetune.model import BaseFiles
from hangtag.bundle import hash_path
from hangtag.errors import EngineError, InvalidSettings
from hangtag.files import save_json

RUN, CHECKPOINTS = "run.json", "checkpoints"
FORMAT = 1
OPTIMISER_COPIES = 4
"""A checkpoint has the adapter and what the optimiser knows of it; so many times the adapter's size, rounded up."""


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of a run that is whole; of the best adapter the earlier one, where the new one is not there yet."""
    best, old = folder / BEST, folder / f"{BEST}.old"
    if old.exists() and not best.exists():
        old.rename(best)
    return last_whole(folder / CHECKPOINTS)


def check_folder(folder: Path, *, resume: bool) -> None:
    if resume and not (folder / RUN).exists():
        raise InvalidSettings(f"{folder}: no run here to go on with; leave --resume out", field="resume")
    if not resume and (folder / RUN).exists():
        raise InvalidSettings(f"{folder}: a run is here already; go on with --resume, or give another --output", field="output")
    if folder.exists() and not folder.is_dir():
        raise InvalidSettings(f"{folder}: this is a file; give a folder with --output", field="output")


def base_hash(files: BaseFiles) -> str:
    """What ties an adapter to its base: the hash of its files, or the commit of a hub."""
    return files.revision or hash_path(files.directory)


def check_same(folder: Path, about: dict[str, Any]) -> None:
    """Raises `InvalidSettings` where a run was begun with something else."""
    before = read_about(folder)
    if before["recipe_hash"] != about["recipe_hash"]:
        changed = sorted(_changed(before["recipe"], about["recipe"]))
        raise InvalidSettings(
            f"{folder}: the recipe has changed since ({', '.join(changed)}); change it back, or train anew with another --output",
            field="resume",
        )
    if (begun := before.get("processes", 1)) != about["processes"]:
        raise InvalidSettings(
            f"{folder}: this run was begun by {begun} processes, whose batches are others than those of {about['processes']};"
            f" start {begun}, or train anew with another --output",
            field="resume",
        )
    for key, name in (("data_hash", "data"), ("vocabulary_hash", "vocabulary"), ("prompt_hash", "prompt"), ("base_hash", "base")):
        if before[key] != about[key]:
            raise InvalidSettings(
                f"{folder}: the {name} has changed since this run began; train anew with another --output", field="resume"
            )


def read_about(folder: Path) -> dict[str, Any]:
    """run.json of a run. Raises `InvalidSettings` where there is none."""
    try:
        about = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{folder}: no run here: {RUN}: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InvalidSettings(f"{folder}: {RUN} is of another version of hangtag; train anew")
    return about


def _changed(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {*before, *after}:
            yield from _changed(before.get(key), after.get(key), f"{prefix}.{key}" if prefix else key)
    elif before != after:
        yield prefix


def check_disk(folder: Path, model: Any) -> None:
    """Raises `EngineError` before training where checkpoints will not fit."""
    adapter = sum(parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad)
    needed, free = adapter * OPTIMISER_COPIES * 3, shutil.disk_usage(folder).free
    if needed > free:
        raise EngineError(
            f"{folder}: checkpoints need about {needed / 2**20:,.0f} MiB, the disk has {free / 2**20:,.0f}; make room, or give"
            " another --output"
        )


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """run.json, replaced as a whole."""
    save_json(about, folder / RUN)
