"""`Bundle`: a directory that is deployed as one: base model, adapter, prompt and vocabulary, tied together by hashes in
`manifest.json`. It knows files and hashes; it loads no weights and runs nothing.

A bundle comes from outside and is untrusted until its hashes match: only names in FILE_ENDINGS are accepted (weights are
safetensors, never pickles), and no path leaves the directory. The base may be a hub id with a fixed revision instead of files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidBundle
from hangtag.formats import read_vocabulary
from hangtag.vocabulary import TagVocabulary

MANIFEST = "manifest.json"
FORMAT = 1
COMPONENTS = ("base", "adapter", "prompt", "vocabulary")
FILE_ENDINGS = frozenset({".safetensors", ".json", ".jinja", ".j2", ".csv", ".tsv", ".jsonl", ".txt", ".md"})
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much evidence beside the model counts, in nats per unit, as fitted when the bundle was made. `own_candidates` for the
    bundle's vocabulary, `other_candidates` for one that its model never saw, `interests` for what a user did."""

    own_candidates: float
    other_candidates: float
    interests: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle. `adapter` is None where the base is used as it is; `hub` and `revision` are set where the base is not
    among the files."""

    directory: Path
    name: str
    version: str
    languages: tuple[str, ...]
    context: int
    weights: Weights
    prompt_file: Path
    vocabulary_file: Path
    adapter: Path | None
    base: Path | None
    hub: str | None = None
    revision: str | None = None

    @property
    def model(self) -> str:
        """Name and version, as answers give them."""
        return f"{self.name}@{self.version}"

    def vocabulary(self) -> TagVocabulary:
        """The vocabulary that the bundle was trained on."""
        return read_vocabulary(self.vocabulary_file, name=self.name)

    @classmethod
    def load(cls, directory: Path) -> Bundle:
        """The bundle in `directory`. Raises `InvalidBundle` for anything missing, unknown, or not as hashed."""
        manifest = _manifest(directory)
        try:
            components = manifest["components"]
            if unknown := set(components) - set(COMPONENTS):
                raise InvalidBundle(f"{directory}: {MANIFEST}: unknown component {min(unknown)!r}")
            paths = {name: _checked(directory, name, component) for name, component in components.items() if "path" in component}
            for name in ("prompt", "vocabulary"):
                if name not in paths:
                    raise InvalidBundle(f"{directory}: {MANIFEST}: the component {name!r} has no path")
            hub, revision = components["base"].get("hub"), components["base"].get("revision")
            if "base" not in paths and not (hub and revision and _HUB.fullmatch(hub)):
                raise InvalidBundle(f"{directory}: {MANIFEST}: the base has neither a path nor a hub id with a revision")
            if not _NAME.fullmatch(manifest["name"]):
                raise InvalidBundle(f"{directory}: {MANIFEST}: {manifest['name']!r} is no bundle name (a-z, 0-9, . _ -)")
            return cls(
                directory=directory,
                name=manifest["name"],
                version=str(manifest["version"]),
                languages=tuple(map(str, manifest["languages"])),
                context=int(manifest["context"]),
                weights=Weights(**{name: float(value) for name, value in manifest["weights"].items()}),
                prompt_file=paths["prompt"],
                vocabulary_file=paths["vocabulary"],
                adapter=paths.get("adapter"),
                base=paths.get("base"),
                hub=hub,
                revision=revision,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidBundle(f"{directory}: {MANIFEST}: {type(error).__name__}: {error}") from error


def write_manifest(directory: Path, fields: Mapping[str, Any], paths: Mapping[str, str]) -> None:
    """Hash the components (name -> path within the directory) and write the manifest; `fields` are all others of `Bundle`."""
    components = {name: {"path": path, "sha256": hash_path(directory / path)} for name, path in paths.items()}
    manifest = {"format": FORMAT, **fields, "components": components}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of the sorted names and hashes of a directory's files. Raises `InvalidBundle` for a file of a kind
    that no bundle has, or a link."""
    if path.is_symlink():
        raise InvalidBundle(f"{path}: a bundle has no links")
    if path.is_dir():
        lines = [f"{child.name} {hash_path(child)}\n" for child in sorted(path.iterdir())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if path.suffix not in FILE_ENDINGS:
        raise InvalidBundle(f"{path}: a bundle has no {path.suffix or path.name!r} files; weights are .safetensors")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(directory: Path) -> Any:
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidBundle(f"{directory}: no bundle here: {MANIFEST}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidBundle(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidBundle(f"{path}: the format is not {FORMAT}; this bundle was made for another version of hangtag")
    return manifest


def _checked(directory: Path, name: str, component: Mapping[str, str]) -> Path:
    path = directory / component["path"]
    if not path.resolve().is_relative_to(directory.resolve()) or not path.exists():
        raise InvalidBundle(f"{directory}: the {name} {component['path']!r} is not in the bundle")
    actual = hash_path(path)
    if actual != component["sha256"]:
        raise InvalidBundle(
            f"{directory}: the {name} {component['path']!r} was altered: its hash is {actual[:12]}…, the manifest says"
            f" {component['sha256'][:12]}…; make the bundle again or restore the file"
        )
    return path
