"""`AdapterList`: which adapters a server has and whose default they are, kept in a file over restarts. It knows names and hashes,
and loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hangtag.errors import InvalidSettings
from hangtag.files import save_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A bundle by its directory's name; `tenants` are those who may use it, none for all."""

    bundle: str
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterList:
    """`loaded` by name; `given` are the hashes of all bundles that ever had a name; `defaults` are names by tenant, the one of ""
    for all who have none of their own."""

    loaded: Mapping[str, Listed] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


def read_adapters(path: Path) -> AdapterList:
    """An empty list where there is no file. Raises `InvalidSettings`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError(f"the format is not {FORMAT}")
        loaded = {name: Listed(entry["bundle"], tuple(entry["tenants"])) for name, entry in data["loaded"].items()}
        return AdapterList(loaded, dict(data["given"]), dict(data["defaults"]))
    except FileNotFoundError:
        return AdapterList()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidSettings(f"{path}: no list of adapters: {type(error).__name__}: {error}", field="adapters") from error


def write_adapters(adapters: AdapterList, path: Path) -> None:
    """Whole or not at all. Raises `OutputError`."""
    save_json({"format": FORMAT, **asdict(adapters)}, path)
