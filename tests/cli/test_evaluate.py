import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.tiny import CHINESE

ROWS = [
    {"id": "1", "title": "Linen shirt", "tags": ["Linen", "Shirts"]},
    {"id": "2", "title": CHINESE, "tags": ["耳机", "feature/noise-cancelling"]},
    {
        "id": "3",
        "title": "A present",
        "tags": ["Shoes"],
        "events": [{"type": "like", "at": "2026-01-31T18:00:00Z", "tags": ["Shoes"]}],
        "at": "2026-02-01T18:00:00Z",
    },
]


@pytest.fixture
def rows_file(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANGTAG_BUNDLE", str(tiny_bundle))
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


def answer_of(line: str) -> tuple[str, list[str], str]:
    """All of a prediction but its confidences, whose last digits depend on what else was in the batch."""
    prediction = json.loads(line)
    return prediction["key"], prediction["tags"], prediction["explanation"]


def test_a_run_writes_report_and_predictions_and_goes_on_where_it_was_cut_off(rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["eval", "run", "--test", str(rows_file), "--out", str(out), "--k", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert (report["model"], report["used"]["rows"], report["k"]) == ("tiny@1", 3, 3)
    assert set(report["metrics"]["hangtag"]) == {"P@1", "P@3", "R@3", "micro-F1", "nDCG@3"}
    assert set(report["metrics"]["candidates"]) == {"P@1", "P@3", "R@3", "micro-F1", "nDCG@3", "R@32"}
    assert all(0 <= value <= 1 for column in report["metrics"].values() for value in column.values())
    assert report["false_quotes"] == 0
    file = out / "predictions.jsonl"
    whole = file.read_text(encoding="utf-8")
    predictions = [json.loads(line) for line in whole.splitlines()]
    assert {prediction["id"] for prediction in predictions} == {"1", "2", "3"}
    assert next(p["gold"] for p in predictions if p["id"] == "2") == ["category/headphones", "feature/noise-cancelling"]

    lines = whole.splitlines(keepends=True)
    file.write_bytes((lines[0] + lines[1]).encode() + '{"key": "亚'.encode()[:-1])
    assert CliRunner().invoke(app, arguments).exit_code == 0
    file.write_text(lines[0] + lines[1][:20], encoding="utf-8")
    assert CliRunner().invoke(app, arguments).exit_code == 0
    again = file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert again[0] == lines[0]
    assert sorted(map(answer_of, again)) == sorted(map(answer_of, lines))
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report


def test_a_limit_and_other_tags_than_the_bundles(rows_file: Path, tmp_path: Path) -> None:
    tags = tmp_path / "tags.txt"
    tags.write_text("Linen\nShirts\n", encoding="utf-8")
    arguments = [
        "eval",
        "run",
        "--test",
        str(rows_file),
        "--out",
        str(tmp_path / "out"),
        "--vocabulary",
        str(tags),
        "--limit",
        "1",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "1 rows" in result.stdout


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the file has no rows"),
        ([{"id": "7", "title": "a", "tags": ["Silk"]}], "row '7': the vocabulary 'tiny' has no tag 'Silk'"),
        ([{"id": "7", "title": "a", "tags": ["Linen"], "language": "fr"}], "row '7': tiny@1 does not answer in 'fr'"),
        ([{"id": "7", "title": "a"}], "line 1: "),
    ],
)
def test_rows_that_can_not_be_measured_are_named(rows_file: Path, tmp_path: Path, rows: list[object], message: str) -> None:
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = CliRunner().invoke(app, ["eval", "run", "--test", str(rows_file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_predictions_of_something_else_are_an_error(rows_file: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("{}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["eval", "run", "--test", str(rows_file), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "predictions.jsonl: line 1: no prediction of this version" in result.stderr


def test_convert_writes_rows_and_vocabulary(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "litemall_zh").mkdir()
    row = {"id": "1", "attributes": [], "title": "亚麻衬衫", "brief": "夏季", "category_path": ["服装", "衬衫"]}
    with gzip.open(tmp_path / "litemall_zh" / "goods.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["eval", "convert", "litemall_zh", "--from", str(tmp_path), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads((out / "rows.jsonl").read_text(encoding="utf-8"))["tags"] == ["衬衫"]
    assert json.loads((out / "vocabulary.jsonl").read_text(encoding="utf-8"))["id"] == "衬衫"
    unknown = CliRunner().invoke(app, ["eval", "convert", "nothing", "--from", str(tmp_path), "--out", str(out)])
    assert unknown.exit_code == 2
    assert "unknown data set 'nothing'" in unknown.stderr


def test_tags_that_the_vocabulary_lacks_can_be_left_out_and_are_counted(rows_file: Path, tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {"id": "4", "title": "Silk tie", "tags": ["Ties"]},
        {"id": "5", "title": "A shirt", "tags": ["Silk", "Shirts"]},
    ]
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["eval", "run", "--test", str(rows_file), "--out", str(out)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "row '4'" in refused.stderr
    result = CliRunner().invoke(app, [*arguments, "--known-tags"])
    assert "Left out, since the vocabulary lacks their tags: 1 rows and 2 labels" in result.stdout
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert (report["given"], report["used"]) == ({"rows": 5, "labels": 7}, {"rows": 4, "labels": 5})
    rows_file.write_text(json.dumps(rows[3]) + "\n", encoding="utf-8")
    refused = CliRunner().invoke(app, [*arguments, "--known-tags"])
    assert refused.exit_code == 2
    assert "no row has a tag of the vocabulary 'tiny'" in refused.stderr


def test_another_model_asks_again(rows_file: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    from hangtag.bundle import write_manifest

    out, directory = tmp_path / "out", tmp_path / "bundle"
    shutil.copytree(tiny_bundle, directory)
    arguments = ["eval", "run", "--test", str(rows_file), "--out", str(out), "--bundle", str(directory)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    paths = {name: component["path"] for name, component in manifest.pop("components").items()}
    (directory / "mini.j2").write_text("{% block user %}{{ lines[0] }}{% endblock %}", encoding="utf-8")
    write_manifest(directory, manifest, paths)  # the same name and version
    assert CliRunner().invoke(app, arguments).exit_code == 0
    keys = [json.loads(line)["key"] for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(set(keys)) == 2 * len(ROWS)
