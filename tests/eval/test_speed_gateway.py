import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from eval.speed.gateway import Case, Load, run, write_json


def test_a_server_is_asked_by_callers_who_count_what_they_waited(tiny_bundle: Path) -> None:
    cases = [Case(3, 0.02, 1.0), Case(2, 0.02, 1.0, remembered=30)]
    told: list[Case] = []
    loads = list(run(tiny_bundle, cases, told.append))
    assert told == cases == [load.case for load in loads]
    for load in loads:
        assert set(load.statuses) == {200}
        assert load.statuses[200] == len(load.added_ms) >= load.case.callers
        assert 0 < load.added(50) <= load.added(99)
        assert load.cpu_ms > 0
        assert load.megabytes


def test_growth_is_from_the_second_quarter_to_the_last(tmp_path: Path) -> None:
    load = Load(Case(1, 0.1, 8), 10.0, 1.0, [1.0, 3.0], {200: 2}, [1, 2, 10, 10, 11, 11, 12, 14])
    assert (load.added(50), load.growth) == (2.0, 3.0)
    write_json([load], tmp_path / "f.json")
    (row,) = json.loads((tmp_path / "f.json").read_text())
    assert (row["added_ms"]["50"], row["statuses"], row["latency_s"]) == (2.0, {"200": 2}, 0.1)


def test_the_command_shows_a_table(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ["bench", "gateway", "--bundle", str(tiny_bundle), "--callers", "2", "--seconds", "1", "--latency", "0.01"]
    result = CliRunner().invoke(app, [*arguments, "--remembered", "0", "--json", str(tmp_path / "f.json")])
    assert result.exit_code == 0, result.output
    assert "added p50 ms" in result.stdout
    assert "200: " in result.stdout
    assert len(json.loads((tmp_path / "f.json").read_text())) == 1
    refused = CliRunner().invoke(app, [*arguments, "--json", "/nowhere/f.json"])
    assert (refused.exit_code, refused.stdout) == (2, "")
