"""`hangtag eval` from the command line, with the tiny bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
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
    return prediction["key"], [each["tag"] for each in prediction["tags"]], prediction["explanation"]


def figures_of(report: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the clock, nor on the last digits of confidences."""
    return {name: {key: value for key, value in each["all"].items() if key != "ECE"} for name, each in report["systems"].items()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "run", *map(str, arguments)])


def report_in(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return report


def test_a_run_writes_report_and_predictions_and_goes_on_where_it_was_cut_off(rows_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--test", rows_file, "--out", out, "--k", 3]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    report = report_in(out)
    assert (report["inputs"]["bundle"]["model"], report["rows"]["test"], report["k"]) == ("tiny@1", 3, 3)
    assert list(report["systems"]) == ["hangtag", "candidates"]
    for system in report["systems"].values():
        assert set(system["all"]) >= {"P@1", "P@3", "R@3", "micro-F1", "nDCG@3", "MRR", "coverage"}
        assert all(0 <= each["low"] <= each["value"] <= each["high"] <= 1 for each in system["all"].values())
    assert report["systems"]["hangtag"]["false quotes"] == 0
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")
    file = out / "predictions.jsonl"
    whole = file.read_text(encoding="utf-8")
    predictions = [json.loads(line) for line in whole.splitlines()]
    assert {prediction["id"] for prediction in predictions} == {"1", "2", "3"}
    assert next(p["gold"] for p in predictions if p["id"] == "2") == ["category/headphones", "feature/noise-cancelling"]
    for prediction in predictions:  # exactly k, by descending confidence
        confidences = [each["confidence"] for each in prediction["tags"]]
        assert len(confidences) == 3
        assert confidences == sorted(confidences, reverse=True)

    lines = whole.splitlines(keepends=True)
    file.write_bytes((lines[0] + lines[1]).encode() + '{"key": "亚'.encode()[:-1])
    assert run(*arguments).exit_code == 0
    file.write_text(lines[0] + lines[1][:20], encoding="utf-8")
    assert run(*arguments).exit_code == 0
    again = file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert again[0] == lines[0]
    assert sorted(map(answer_of, again)) == sorted(map(answer_of, lines))
    assert figures_of(report_in(out)) == figures_of(report)


def test_training_rows_give_vocabulary_and_baselines(rows_file: Path, tmp_path: Path) -> None:
    train, out = tmp_path / "train.jsonl", tmp_path / "out"
    rows = [{"id": f"a{n}", "title": f"Silk tie {n}", "tags": ["silk", "Ties"]} for n in range(3)]
    train.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "id": "1"}]), encoding="utf-8")
    test = tmp_path / "silk.jsonl"
    test.write_text(json.dumps({"id": "1", "title": "A silk tie", "tags": ["Silk", "new"]}) + "\n", encoding="utf-8")
    arguments = ["--train", train, "--test", test, "--out", out, "--k", 2, "--baselines", "popularity,tfidf"]
    shared = run(*arguments)
    assert shared.exit_code == 2
    assert f"{train}: line 4: the id '1' is in training and test: {test}: line 1 has it too" in " ".join(shared.stderr.split())
    result = run(*arguments, "--skip-bad", "--no-explanation")
    assert result.exit_code == 0, result.output
    assert "1 labels merged into one that differs only in case" in result.stdout
    assert f"Skipped 1 lines, the first {train}: line 4" in result.stdout
    report = report_in(out)
    assert list(report["systems"]) == ["hangtag", "candidates", "popularity", "tfidf"]
    assert (report["rows"]["labels"], report["rows"]["labels in training"], report["rows"]["training"]) == (3, 2, 3)
    assert report["systems"]["tfidf"]["all"]["R@2"]["value"] == 0.5
    assert report["systems"]["tfidf"]["seen"]["R@2"]["value"] == 1.0
    assert report["skipped"]["count"] == 1
    assert json.loads((out / "skipped.jsonl").read_text(encoding="utf-8"))["line"] == 4
    assert len((out / "predictions.tfidf.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert json.loads((out / "predictions.jsonl").read_text(encoding="utf-8")).get("explanation", "") == ""
    compared = CliRunner().invoke(app, ["eval", "compare", str(out), f"{out}:popularity"])
    assert compared.exit_code == 0, compared.output
    assert "nDCG@2" in compared.stdout
    assert "1 rows; A is" in compared.stdout


def test_a_limit_other_tags_than_the_bundles_and_fewer_than_k(rows_file: Path, tmp_path: Path) -> None:
    rows_file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0] | {"id": "8"}) + "\n", encoding="utf-8")
    tags = tmp_path / "tags.txt"
    tags.write_text("Linen\nShirts\nShoes\n", encoding="utf-8")
    arguments = ["--test", rows_file, "--out", tmp_path / "out", "--vocabulary", tags, "--limit", 1]
    result = run(*arguments, "--at-most")
    assert result.exit_code == 0, result.output
    assert "1 of 2 test rows" in result.stdout
    line = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8")
    assert 1 <= len(json.loads(line)["tags"]) <= 3


def test_with_memory_training_rows_are_remembered_and_the_environments_memory_is_not_asked(
    rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = [{"id": f"t{n}", "title": f"A present {n}", "tags": ["Waterproof", "Linen"][: n % 2 + 1]} for n in range(12)]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in remembered), encoding="utf-8")
    monkeypatch.setenv("HANGTAG_MEMORY", str(tmp_path / "none"))  # it may know the test rows
    arguments = ["--train", train, "--test", rows_file, "--out", tmp_path / "out", "--baselines", "none", "--no-explanation"]
    assert run(*arguments).exit_code == 0
    plain = report_in(tmp_path / "out")
    result = run(*arguments, "--memory")
    assert result.exit_code == 0, result.output
    report = report_in(tmp_path / "out")
    assert plain["inputs"]["memory"] == "none"
    assert report["inputs"]["memory"]["listings"] == 12
    assert len(report["inputs"]["memory"]["hash"]) == 64
    predictions = map(json.loads, (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines())
    *_, present = (each for each in predictions if each["id"] == "3")  # an answer without the memory stands before it
    assert present["tags"][0]["tag"] == "Waterproof"
    assert report["inputs"]["memory"]["hash"] in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    again = run(*arguments, "--memory")
    assert again.exit_code == 0
    assert report_in(tmp_path / "out")["systems"]["hangtag"]["rows from an earlier run"] == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the file has no rows"),
        ([{"id": "7", "title": "a", "tags": ["Silk"]}], "test.jsonl: line 1: row '7': the vocabulary 'tiny' has no tag 'Silk'"),
        (
            [{"id": "7", "title": "a", "tags": ["Linen"], "language": "fr"}],
            "test.jsonl: line 1: row '7': tiny@1 does not answer in 'fr'",
        ),
        ([{"id": "7", "title": "a"}], "line 1: "),
    ],
)
def test_rows_that_can_not_be_measured_are_named_or_skipped(
    rows_file: Path, tmp_path: Path, rows: list[object], message: str
) -> None:
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = run("--test", rows_file, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    nothing_left = run("--test", rows_file, "--out", tmp_path / "out", "--skip-bad")
    assert nothing_left.exit_code == 2
    with rows_file.open("a", encoding="utf-8") as file:
        file.write(json.dumps(ROWS[0]) + "\n")
    result = run("--test", rows_file, "--out", tmp_path / "out", "--skip-bad")
    assert result.exit_code == 0, result.output
    assert (f"Skipped 1 lines, the first {rows_file}: line 1" in result.stdout) == bool(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baselines", "tfidf"], "baselines learn from training rows; give --train"),
        (["--memory"], "--memory remembers training rows; give --train"),
        (["--baselines", "magic"], "unknown baseline 'magic'; use popularity"),
    ],
)
def test_options_that_do_not_go_together_are_refused(rows_file: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = run("--test", rows_file, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_predictions_of_something_else_are_an_error(rows_file: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("{}\n", encoding="utf-8")
    result = run("--test", rows_file, "--out", tmp_path)
    assert result.exit_code == 2
    assert "predictions.jsonl: line 1: no prediction of this version" in result.stderr


def test_convert_and_split_write_rows_and_vocabulary(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "litemall_zh").mkdir()
    row = {"attributes": [], "title": "亚麻衬衫", "brief": "夏季"}
    paths = [["服装", "衬衫"], ["服装", "衬衫"], ["服装", "Tee"], ["服装", "TEE"], ["服装", "tee"]]
    with gzip.open(tmp_path / "litemall_zh" / "goods.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, path in enumerate(paths):
            file.write(json.dumps({**row, "id": str(number), "category_path": path}) + "\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["eval", "convert", "litemall_zh", "--from", str(tmp_path), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["tags"] for row in rows] == [["衬衫"], ["衬衫"], ["Tee"], ["Tee"], ["Tee"]]
    assert "Merged: 'Tee' (1) also stands for 'TEE' (1), 'tee' (1)" in result.stdout
    assert "'Tee' (1)" in (out / "merged.txt").read_text(encoding="utf-8")
    tags = [json.loads(line)["id"] for line in (out / "vocabulary.jsonl").read_text(encoding="utf-8").splitlines()]
    assert tags == ["Tee", "衬衫"]
    unknown = CliRunner().invoke(app, ["eval", "convert", "nothing", "--from", str(tmp_path), "--out", str(out)])
    assert unknown.exit_code == 2
    assert "unknown data set 'nothing'" in unknown.stderr

    split = CliRunner().invoke(app, ["eval", "split", str(out / "rows.jsonl"), "--out", str(out), "--test-share", "0.5"])
    assert split.exit_code == 0, split.output
    halves = [(out / name).read_text(encoding="utf-8").splitlines() for name in ("train.jsonl", "test.jsonl")]
    assert sorted(map(json.loads, [*halves[0], *halves[1]]), key=lambda row: row["id"]) == rows
    no_times = CliRunner().invoke(app, ["eval", "split", str(out / "rows.jsonl"), "--out", str(out), "--by-time"])
    assert no_times.exit_code == 2
    assert "the row '0' has no time `at`" in no_times.stderr


def test_tags_that_the_vocabulary_lacks_can_be_left_out_and_are_counted(rows_file: Path, tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {"id": "4", "title": "Silk tie", "tags": ["Ties"]},
        {"id": "5", "title": "A shirt", "tags": ["Silk", "Shirts"]},
    ]
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["--test", rows_file, "--out", tmp_path / "out"]
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "line 4: row '4'" in refused.stderr
    result = run(*arguments, "--known-tags")
    assert "left out of test.jsonl, since the vocabulary lacks their tags: 1 rows and 2 labels" in result.stdout
    assert report_in(tmp_path / "out")["rows"]["test"] == 4
    rows_file.write_text(json.dumps(rows[3]) + "\n", encoding="utf-8")
    refused = run(*arguments, "--known-tags")
    assert refused.exit_code == 2
    assert "no row has a tag of the vocabulary 'tiny'" in refused.stderr


def test_another_model_asks_again(rows_file: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    from hangtag.bundle import write_manifest

    out, directory = tmp_path / "out", tmp_path / "bundle"
    shutil.copytree(tiny_bundle, directory)
    arguments = ["--test", rows_file, "--out", out, "--bundle", directory]
    assert run(*arguments).exit_code == 0
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    paths = {name: component["path"] for name, component in manifest.pop("components").items()}
    (directory / "mini.j2").write_text("{% block user %}{{ lines[0] }}{% endblock %}", encoding="utf-8")
    write_manifest(directory, manifest, paths)  # the same name and version
    assert run(*arguments).exit_code == 0
    keys = [json.loads(line)["key"] for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(set(keys)) == 2 * len(ROWS)
