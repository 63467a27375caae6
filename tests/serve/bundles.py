"""Other versions of the tiny bundle, for tests that load them while a server runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hangtag.bundle import MANIFEST, write_manifest
from tests.tiny import adapter_like


def another(bundle: Path, directory: Path, *, scale: float = 2.0, tags: int | None = None, **fields: object) -> Path:
    """A copy of a bundle with another adapter, and with other `fields` of the manifest; with only the first `tags`."""
    shutil.copytree(bundle, directory, ignore=shutil.ignore_patterns("adapter"))
    adapter_like(bundle / "adapter", directory / "adapter", scale=scale)
    if tags is not None:
        lines = (directory / "vocabulary.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (directory / "vocabulary.csv").write_text("".join(lines[: tags + 1]), encoding="utf-8")
    manifest = json.loads((directory / MANIFEST).read_text())
    paths = {name: component["path"] for name, component in manifest.pop("components").items()}
    del manifest["format"]
    write_manifest(directory, {**manifest, **fields}, paths)
    return directory
