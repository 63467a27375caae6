import json
import shutil
from pathlib import Path

import pytest

from hangtag.bundle import Bundle
from hangtag.calibration import ANY, WORDS
from tests.cli.commands import Run, assert_refused

KINDS = {"Linen shirt": "Linen", "Cotton shirt": "Cotton", "Summer shoes": "Shoes", "A box": "Summer"}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def write_rows(file: Path, count: int = 40, suffix: str = "") -> Path:
    kinds = list(KINDS.items())
    rows = [
        {"id": f"r{number}", "title": f"{kinds[number % 4][0]} {number}", "tags": [kinds[number % 4][1] + suffix]}
        for number in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_confidences_of_the_bundle_are_calibrated(run: Run, bundle: Path, tmp_path: Path) -> None:
    rows, plot = write_rows(tmp_path / "rows.jsonl"), tmp_path / "reliability.png"
    asked = ("suggest", "Linen shirt", "--bundle", str(bundle), "--no-explanation", "--min-confidence", "0", "--format", "json")
    before = json.loads(run(*asked).stdout)
    arguments = ("--rows", str(rows), "--promise", "0.5", "--no-explanation", "--plot", str(plot))
    result = run("finetune", "calibrate", str(bundle), *arguments)
    assert result.exit_code == 0, result.output
    for said in ("ECE", "log loss", "40 rows, 8 labels", "Promise 0.5", "tiny@1 is calibrated"):
        assert said in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    after = json.loads(run(*asked).stdout)
    assert (before["calibrated"], after["calibrated"]) == (False, True)
    assert [tag["id"] for tag in after["tags"]] == [tag["id"] for tag in before["tags"]]
    shown = run("bundle", "show", str(bundle))
    assert "calibration" in shown.stdout
    assert "own tags" in shown.stdout


def test_a_bundle_says_in_text_whether_its_confidence_is_calibrated(run: Run, bundle: Path, tmp_path: Path) -> None:
    asked = ("suggest", "Linen shirt", "--bundle", str(bundle), "--no-explanation")
    assert "not calibrated" in run(*asked).stdout
    rows = write_rows(tmp_path / "rows.jsonl")
    assert run("finetune", "calibrate", str(bundle), "--rows", str(rows), "--no-explanation").exit_code == 0
    assert "not calibrated" not in run(*asked).stdout


def test_vocabularies_nobody_knows_have_a_curve_of_their_own(run: Run, bundle: Path, tmp_path: Path) -> None:
    files = [str(write_rows(tmp_path / f"{name}.jsonl", suffix=f" {name}")) for name in ("wear", "goods")]
    result = run("finetune", "calibrate", str(bundle), "--unseen", "--rows", files[0], "--rows", files[1], "--no-explanation")
    assert result.exit_code == 0, result.output
    assert "Nothing is promised for vocabularies nobody knows" in result.stdout
    assert list(Bundle.load(bundle).calibrations.curves) == [(ANY, WORDS)]


def test_what_can_not_be_is_refused_before_anything_is_asked(run: Run, bundle: Path, tmp_path: Path) -> None:
    rows = str(write_rows(tmp_path / "rows.jsonl"))
    unknown = str(write_rows(tmp_path / "unknown.jsonl", suffix="!"))
    command = ("finetune", "calibrate", str(bundle), "--rows", rows)
    assert_refused(run(*command, "--rows", rows), "one file of --rows is enough")
    assert_refused(run(*command, "--unseen", "--vocabulary", rows), "leave --vocabulary and --memory out")
    assert_refused(run(*command, "--plot", str(tmp_path / "gone" / "a.png")), "there is no such directory")
    assert_refused(run("finetune", "calibrate", str(bundle), "--rows", unknown), "unknown.jsonl: line 1", "'Linen!'")
    assert_refused(run("finetune", "calibrate", str(tmp_path / "gone"), "--rows", rows), "no bundle here")
    assert Bundle.load(bundle).calibrations.curves == {}


def test_too_few_rows_leave_the_bundle_as_it_was(run: Run, bundle: Path, tmp_path: Path) -> None:
    rows = str(write_rows(tmp_path / "rows.jsonl", 12))
    assert_refused(run("finetune", "calibrate", str(bundle), "--rows", rows, "--no-explanation"), "12 rows are too few")
    assert Bundle.load(bundle).calibrations.curves == {}
