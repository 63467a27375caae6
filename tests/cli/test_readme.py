"""A newcomer's path: every `hangtag` command of README.md is one that there is, and those that need no more than a file run as
they are written, in their order.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from cli.main import app
from tests.serve.catalogues import SHOPIFY

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TAGS = "id,label\nshirts/linen,Linen\nshirts/cotton,Cotton\nsummer,Summer\nhats,Hats\n"
EVERYWHERE = ("suggest", "vocabulary", "memory", "batch")
"""Commands that run with files of a newcomer; others need a server, hours, or packages."""


def commands() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Variables that are set before a command, and its words; of `$ hangtag ...` and of lines in shell blocks."""
    for block in re.findall(r"(?ms)^```\n(.*?)^```", README):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            if "hangtag " not in line:
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            variables = {}
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                name, _, value = words.pop(0).partition("=")
                variables[name] = value
            if words[:1] == ["hangtag"]:
                yield variables, words[1:]


COMMANDS = list(commands())
RUN_HERE = [
    (variables, words) for variables, words in COMMANDS if words[0] in EVERYWHERE and not {"--encoder", "--bundle"} & {*words}
]


@pytest.fixture
def home(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that README speaks of; a tiny model over the starter vocabulary."""
    (tmp_path / "tags.csv").write_text(TAGS, encoding="utf-8")
    (tmp_path / "products.csv").write_text("title,description\nLinen shirt,For hot days\n", encoding="utf-8")
    (tmp_path / "export.csv").write_text("sku,name,colour,material\n1,Linen shirt,navy,linen\n", encoding="utf-8")
    (tmp_path / "shopify-products.csv").write_text(SHOPIFY, encoding="utf-8")
    rows = ({"id": str(n), "title": f"{kind} hat {n}", "tags": [kind, "Hats"]} for n in range(10) for kind in ("Linen", "Cotton"))
    lines = (json.dumps(row | {"id": f"{row['tags'][0]}-{row['id']}"}) + "\n" for row in rows)
    (tmp_path / "tagged.jsonl").write_text("".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANGTAG_BUNDLE", str(tiny_bundle))
    monkeypatch.setenv("HANGTAG_VOCABULARY", str(ROOT / "models" / "hangtag-mini" / "vocabulary.csv"))
    return tmp_path


def test_readme_has_commands() -> None:
    assert len(COMMANDS) > 30
    assert {words[0] for _, words in RUN_HERE} == set(EVERYWHERE)


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=lambda words: " ".join(words)[:60])
def test_every_command_is_one_that_there_is(words: list[str]) -> None:
    command: click.Command = typer.main.get_command(app)
    left = [word for word in words if word not in ("&", "...")]
    with click.Context(command) as context:
        while isinstance(command, click.Group):
            _, found, left = command.resolve_command(context, left)
            assert found is not None
            command = found
    command.make_context(command.name, left)


def test_packages_are_installed_in_versions_that_are_known_to_work_together() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    gpu = re.findall(r"(?m)^ARG CONSTRAINTS=(.*)$", (ROOT / "Dockerfile.gpu").read_text(encoding="utf-8"))
    lines = re.findall(r"pip install -c (\S+) -e '\.\[(\w+)\]'", README)
    assert {"vllm", "finetune", "eval"} <= {extra for _, extra in lines}
    for file, extra in lines:
        pins = re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / file).read_text(encoding="utf-8"))
        pinned = {canonicalize_name(name): version for name, version in pins}
        for requirement in map(Requirement, extras[extra]):
            if requirement.name == "vllm":  # what it needs is pinned where it alone is installed
                assert [file] == gpu
            else:
                assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), (file, requirement)


def test_what_needs_only_files_runs_in_its_order(home: Path) -> None:
    for variables, words in RUN_HERE:
        shutil.rmtree(home / "compiled", ignore_errors=True)
        result = CliRunner().invoke(app, words, env=variables)
        assert result.exit_code == 0, (words, result.output)
