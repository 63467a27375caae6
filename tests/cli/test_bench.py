import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ARGUMENTS = [
    "bench",
    "decoding",
    "--sizes",
    "100",
    "--engines",
    "hangtag",
    "--tokenizers",
    "bundled",
    "--rows",
    "2",
    "--rounds",
    "1",
]


def test_a_bench_prints_tables_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = CliRunner().invoke(app, [*ARGUMENTS, "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "/ llguidance" in result.stdout
    assert "batch of 2" in result.stdout
    assert [line.split()[:2] for line in result.stdout.splitlines() if line.startswith("100")] == [["100", "hangtag"]] * 2
    written = json.loads(file.read_text(encoding="utf-8"))
    assert [row["engine"] for row in written["rows"]] == ["hangtag"]
    assert written["plan"] == {"sizes": [100], "rows": 2, "rounds": 1, "limit_s": 120.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "many"], "'many' is no list of numbers"),
        (["--sizes", "7"], "a size is 7"),
        (["--engines", "guess"], "there is no engine 'guess'"),
        (["--json", "/nowhere/figures.json"], "there is no directory /nowhere"),
    ],
)
def test_what_can_not_be_measured_is_said(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [*ARGUMENTS, *arguments])
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output


def test_the_memory_is_measured_as_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    arguments = ["bench", "memory", "--sizes", "80,40", "--asked", "20", "--json"]
    result = CliRunner().invoke(app, [*arguments, str(file)])
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines() if " search " in line] == ["40", "80"]
    written = json.loads(file.read_text(encoding="utf-8"))
    assert [grown["listings"] for grown in written] == [40, 80]
    assert {timing["name"] for timing in written[0]["timings"]} >= {"search", "estimates", "SQLite FTS5"}
    refused = CliRunner().invoke(app, [*arguments, "/nowhere/figures.json"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "there is no directory /nowhere" in refused.stderr
    empty = CliRunner().invoke(app, ["bench", "memory", "--sizes", "0"])
    assert "a size is 0; at least one listing is needed" in empty.stderr
