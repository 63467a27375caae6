"""`hangtag bench batch` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import Run, assert_refused


def test_a_table_and_json(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = run("bench", "batch", "--listings", "6", "--rounds", "2", "--json", str(file))
    assert result.exit_code == 0, result.stderr
    head, first, second, last = result.stdout.splitlines()
    assert head.split()[:3] == ["round", "batch", "s"]
    assert (first.split()[0], second.split()[0]) == ("1", "2")
    ratio = json.loads(file.read_text(encoding="utf-8"))["ratio"]
    assert last == f"6 rows, median of 2 rounds: {ratio:.3f}"


def test_a_directory_that_is_not_there_is_said_first(run: Run) -> None:
    assert_refused(run("bench", "batch", "--json", "/nowhere/f.json"), "there is no directory /nowhere")
