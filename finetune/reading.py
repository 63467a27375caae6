"""Recipes from YAML files: mistakes are named with file, line and the nearest key that exists. It knows places in files, and of
keys only their names.

Paths of inputs are relative to the recipe's own folder, `output` to the directory where the command runs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from finetune.config import DataFile, Recipe
from finetune.mini import MiniRecipe
from hangtag.errors import InvalidSettings

RECIPES = Path(__file__).parent / "recipes"
"""The recipes that come with hangtag."""


R = TypeVar("R", bound=BaseModel)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, with `overrides` such as "lora.rank=8" put over it. Raises `InvalidSettings` naming file, line and
    key, for a key that does not exist with the nearest one that does."""
    return _located(_read(path, overrides, Recipe), path.parent.resolve())


def read_mini(path: Path, overrides: Sequence[str] = ()) -> MiniRecipe:
    """The same for the recipe of the bundled model."""
    return _read(path, overrides, MiniRecipe).located(path.parent.resolve())


def _read(path: Path, overrides: Sequence[str], kind: type[R]) -> R:
    try:
        text = path.read_text(encoding="utf-8")
        tree, given = yaml.compose(text), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InvalidSettings(f"{path}: {place}not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(given, dict):
        raise InvalidSettings(f"{path}: a recipe is a mapping of keys, such as `name:` and `base:`")
    for override in overrides:
        _put(given, override)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InvalidSettings(_explained(error, path, tree, kind), field=_dotted(error.errors()[0]["loc"])) from error


def keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every key that a recipe may have, dotted; those of files once."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for section in _sections(field.annotation):
            yield from keys(section, f"{prefix}{name}.")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, Annotated, UnionType) or get_args(annotation):
        return [section for part in get_args(annotation) for section in _sections(part)]
    return []


def _put(given: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InvalidSettings(f"--set {override!r} has no '='; write KEY=VALUE, such as lora.rank=8", field="set")
    *above, last = key.split(".")
    for name in above:
        inner = given.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InvalidSettings(f"--set {override!r}: {name!r} has no keys below it", field="set")
        given = inner
    try:
        given[last] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        raise InvalidSettings(f"--set {override!r}: {text!r} is not valid YAML", field="set") from error


def _explained(error: ValidationError, path: Path, tree: yaml.Node, kind: type[BaseModel]) -> str:
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])  # a misspelt key is also a missing one
    place, line = _dotted(first["loc"]), _line(tree, first["loc"])
    where = f"{path}: " + (f"line {line}: " if line else "")
    if first["type"] == "extra_forbidden":
        parent = re.sub(r"\.\d+(?=\.|$)", "", _dotted(first["loc"][:-1]))
        known = [key[len(parent) + 1 if parent else 0 :] for key in keys(kind) if key.rpartition(".")[0] == parent]
        wrong = str(first["loc"][-1])
        near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
        return f"{where}unknown key {place!r}; {hint}"
    if first["type"] == "missing":
        return f"{where}the key {place!r} is missing; the recipes that come with hangtag say what it means"
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], (dict, BaseModel)) else f" (it is {first['input']!r})"
    return f"{where}{place + ': ' if place else ''}{message}{shown}"


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc))


def _line(node: yaml.Node, loc: tuple[int | str, ...]) -> int | None:
    """The line of the innermost part of `loc` that stands in the file."""
    line = None
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            key, node = found[0]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _located(recipe: Recipe, folder: Path) -> Recipe:
    """With the paths of inputs put after the recipe's folder. A base or template that is no path there is a hub id or a name."""

    def file(given: DataFile) -> DataFile:
        return given.model_copy(update={"path": folder / given.path})

    data, base, prompt = recipe.data, recipe.base, recipe.prompt
    validation = data.validation
    if validation.file is not None:
        validation = validation.model_copy(update={"file": file(validation.file)})
    moved = {
        "data": data.model_copy(
            update={
                "files": tuple(map(file, data.files)),
                "feedback": tuple(folder / path for path in data.feedback),
                "vocabulary": data.vocabulary and folder / data.vocabulary,
                "validation": validation,
            }
        ),
        "base": base.model_copy(
            update={"model": _path_or_name(base.model, folder), "adapter": base.adapter and folder / base.adapter}
        ),
        "prompt": prompt.model_copy(update={"template": _path_or_name(prompt.template, folder)}),
    }
    return recipe.model_copy(update=moved)


def _path_or_name(given: str, folder: Path) -> str:
    is_path = given.startswith((".", "/", "~")) or given.endswith(".j2") or (folder / given).exists()
    return str(folder / Path(given).expanduser()) if is_path else given
