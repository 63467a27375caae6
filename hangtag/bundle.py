"""`Bundle`: a directory that is deployed as one: base model, adapter, prompt, vocabulary and calibration, tied together by hashes
in `manifest.json`. It knows files and hashes; it loads no weights and runs nothing.

A bundle comes from outside and is untrusted until its hashes match: only names in FILE_ENDINGS are accepted (weights are
safetensors, never pickles), and no path leaves the directory. The base may be a hub id with a commit's hash instead of files.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hangtag.calibration import Calibrations, read_calibrations, write_calibrations
from hangtag.errors import InvalidBundle, InvalidCalibration
from hangtag.files import save_json
from hangtag.formats import read_vocabulary
from hangtag.vocabulary import TagVocabulary

MANIFEST = "manifest.json"
FORMAT = 1
CALIBRATION = "calibration.json"
COMPONENTS = ("base", "adapter", "prompt", "vocabulary", "calibration")
FILE_ENDINGS = frozenset({".safetensors", ".json", ".jinja", ".j2", ".csv", ".tsv", ".jsonl", ".txt", ".md"})
_FIELDS = {"format", "name", "version", "languages", "context", "weights", "components"}
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[0-9a-f]{40}")
_FILE_NAME = re.compile(r"[\w.-]+", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much evidence beside the model counts, as fitted when the bundle was made. For the bundle's vocabulary the prior of
    the candidates counts `own_candidates` times, with `own_stated` nats in it for tags that the listing states; for one that
    its model never saw, `other_candidates` times. `interests` is for what a user did, `evidence` the nats by which a
    quotation leans towards words that state a tag of the answer. `own_memory` is how often a memory's log-odds count beside a
    model that learnt the shop's own tags; 0 for one that did not, and a memory that knows the shop is believed instead."""

    own_candidates: float
    own_stated: float
    other_candidates: float
    interests: float
    evidence: float
    own_memory: float = 0.0


@dataclass(frozen=True)
class Bundle:
    """A checked bundle; its paths are absolute. `adapter` is None where the base is used as it is; `hub` and `revision` are set
    where the base is not among the files. `hash` is the manifest's: equal hashes, equal bundles. Without calibrations confidences
    are what the decoder says. `base_id` is equal for bundles of the same base."""

    directory: Path
    name: str
    version: str
    hash: str
    languages: tuple[str, ...]
    context: int
    weights: Weights
    prompt_file: Path
    vocabulary_file: Path
    adapter: Path | None
    base: Path | None
    hub: str | None = None
    revision: str | None = None
    calibrations: Calibrations = field(default_factory=Calibrations)
    base_id: str = ""

    @property
    def model(self) -> str:
        """Name and version, as answers give them."""
        return f"{self.name}@{self.version}"

    @cached_property
    def vocabulary(self) -> TagVocabulary:
        """The vocabulary that the bundle was trained on, read once."""
        return read_vocabulary(self.vocabulary_file, name=self.name)

    @classmethod
    def load(cls, directory: Path) -> Bundle:
        """The bundle in `directory`. Raises `InvalidBundle` for anything missing, unknown, or not as hashed."""
        data = _read(directory / MANIFEST)
        place = f"{directory}: {MANIFEST}"
        try:
            manifest = _manifest(data, place)
            components = manifest["components"]
            _refuse_unknown(components, COMPONENTS, f"{place}: unknown component")
            paths = {name: _checked(directory, name, component) for name, component in components.items() if "path" in component}
            for name in ("prompt", "vocabulary"):
                if name not in paths:
                    raise InvalidBundle(f"{place}: the component {name!r} has no path")
            base = components["base"]
            if "base" not in paths:
                _refuse_unknown(base, ("hub", "revision"), f"{place}: the base has the unknown field")
                if not (_HUB.fullmatch(base["hub"]) and _REVISION.fullmatch(base["revision"])):
                    raise InvalidBundle(f"{place}: the base has neither a path nor a hub id with a commit's hash as revision")
            return cls(
                directory=directory,
                name=manifest["name"],
                version=manifest["version"],
                hash=hashlib.sha256(data).hexdigest(),
                languages=tuple(manifest["languages"]),
                context=manifest["context"],
                weights=Weights(**manifest["weights"]),
                prompt_file=paths["prompt"],
                vocabulary_file=paths["vocabulary"],
                adapter=paths.get("adapter"),
                base=paths.get("base"),
                hub=base.get("hub"),
                revision=base.get("revision"),
                calibrations=read_calibrations(paths["calibration"]) if "calibration" in paths else Calibrations(),
                base_id=base["sha256"] if "base" in paths else f"{base['hub']}@{base['revision']}",
            )
        except KeyError as error:
            raise InvalidBundle(f"{place}: {error} is missing") from error
        except InvalidCalibration as error:
            raise InvalidBundle(f"{directory}: the calibration can't be used: {error}") from error
        except (TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
            raise InvalidBundle(f"{place}: {type(error).__name__}: {error}") from error


def write_manifest(directory: Path, fields: Mapping[str, Any], paths: Mapping[str, str]) -> None:
    """Hash the components (name -> path within the directory) and write the manifest; `fields` are all others of `Bundle`."""
    components = {name: {"path": path, "sha256": hash_path(directory / path)} for name, path in paths.items()}
    save_json({"format": FORMAT, **fields, "components": components}, directory / MANIFEST)


def write_calibration(directory: Path, calibrations: Calibrations) -> Bundle:
    """Give the bundle in `directory` other calibrations and return it as it is then. Whenever this is cut off there is a whole
    bundle: the old one, the new one, or one that is not calibrated. Raises `InvalidBundle`."""
    Bundle.load(directory)
    manifest = json.loads(_read(directory / MANIFEST))
    manifest["components"].pop("calibration", None)
    save_json(manifest, directory / MANIFEST)
    write_calibrations(calibrations, directory / CALIBRATION)
    manifest["components"]["calibration"] = {"path": CALIBRATION, "sha256": hash_path(directory / CALIBRATION)}
    save_json(manifest, directory / MANIFEST)
    return Bundle.load(directory)


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of the sorted names and hashes of a directory's files. Raises `InvalidBundle` for a file of a kind
    or a name that no bundle has, or a link."""
    if path.is_symlink():
        raise InvalidBundle(f"{path}: a bundle has no links")
    if not _FILE_NAME.fullmatch(path.name):
        raise InvalidBundle(f"{path.parent}: {path.name!r} is no name for a bundle's file; use letters, digits and . _ -")
    if path.is_dir():
        lines = [f"{child.name} {hash_path(child)}\n" for child in sorted(path.iterdir())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if path.suffix not in FILE_ENDINGS or not path.is_file():
        raise InvalidBundle(f"{path}: a bundle has no {path.suffix or path.name!r} files; weights are .safetensors")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidBundle(f"{path.parent}: no bundle here: {MANIFEST}: {error.strerror}") from error


def _manifest(data: bytes, place: str) -> dict[str, Any]:
    """The manifest's fields, all of the right types but `components`."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidBundle(f"{place}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidBundle(f"{place}: the format is not {FORMAT}; this bundle was made for another version of hangtag")
    _refuse_unknown(manifest, _FIELDS, f"{place}: unknown field")
    languages, weights = manifest["languages"], manifest["weights"]
    if not isinstance(manifest["name"], str) or not _NAME.fullmatch(manifest["name"]):
        raise InvalidBundle(f"{place}: {manifest['name']!r} is no bundle name (a-z, 0-9, . _ -)")
    if not isinstance(manifest["version"], str) or not manifest["version"]:
        raise InvalidBundle(f"{place}: the version {manifest['version']!r} is no string")
    if not isinstance(languages, list) or not languages or not all(isinstance(language, str) for language in languages):
        raise InvalidBundle(f"{place}: `languages` is no list of languages, one at least")
    if type(manifest["context"]) is not int or manifest["context"] < 1:
        raise InvalidBundle(f"{place}: the context {manifest['context']!r} is no number of tokens")
    if not all(type(weight) in (int, float) and math.isfinite(weight) for weight in weights.values()):
        raise InvalidBundle(f"{place}: a weight is no finite number")
    return manifest


def _refuse_unknown(given: Mapping[str, Any], known: Collection[str], what: str) -> None:
    if unknown := set(given) - set(known):
        raise InvalidBundle(f"{what} {min(unknown)!r}; there are {', '.join(sorted(known))}")


def _checked(directory: Path, name: str, component: Mapping[str, str]) -> Path:
    _refuse_unknown(component, ("path", "sha256"), f"{directory}: {MANIFEST}: the {name} has the unknown field")
    path = directory / component["path"]
    if not path.resolve().is_relative_to(directory.resolve()) or not path.exists():
        raise InvalidBundle(f"{directory}: the {name} {component['path']!r} is not in the bundle")
    actual = hash_path(path)
    if actual != component["sha256"]:
        raise InvalidBundle(
            f"{directory}: the {name} {component['path']!r} was altered: its hash is {actual[:12]}…, the manifest says"
            f" {component['sha256'][:12]}…; make the bundle again or restore the file"
        )
    return path.resolve()  # a relative one that lacks files could be taken for the name of a model on a hub
