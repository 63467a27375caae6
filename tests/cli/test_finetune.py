"""The commands of fine-tuning and of comparing bundles, on a tiny random model."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.finetune.shop import write_feedback_file, write_recipe

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers, peft and torch warn about themselves

Run = Callable[..., Result]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def recipe(tiny_bundle: Path, tmp_path: Path) -> Path:
    return write_recipe(tmp_path, tiny_bundle / "base", schedule={"steps": 2, "learning_rate": 0.01})


def test_check_counts_and_shows_what_is_learned(recipe: Path, tmp_path: Path):
    result = run("finetune", "check", recipe, "--examples", "1")
    assert result.exit_code == 0
    for said in ("training rows", "cut to fit", "unseen in validation", "Memory, roughly", "Time, roughly", "⟦", "↵"):
        assert said in result.stdout
    assert not (tmp_path / "run").exists()


def test_run_export_suggest_and_diff(recipe: Path, tmp_path: Path, tiny_bundle: Path):
    trained = run("finetune", "run", recipe)
    assert trained.exit_code == 0
    assert "Best by nDCG@5" in trained.stdout
    bundle = tmp_path / "bundle"
    assert run("finetune", "export", tmp_path / "run", "--output", bundle, "--version", "2").exit_code == 0
    assert run("bundle", "show", bundle).exit_code == 0
    suggested = run("suggest", "Wireless linen shirt", "--bundle", bundle, "--no-explanation")
    assert suggested.exit_code == 0
    assert any(tag in suggested.stdout for tag in ("Audio", "Wardrobe", "Walk", "Natural", "Season pick"))
    changed = run("bundle", "diff", tiny_bundle, bundle)
    for said in ("version", "vocabulary", "validation nDCG@5", "Tags only in B: 5"):
        assert said in changed.stdout
    assert run("bundle", "diff", bundle, bundle).stdout.strip() == "The bundles are equal."
    again = run("finetune", "run", recipe)
    assert again.exit_code == 2
    assert "go on with --resume" in again.stderr


def test_bench_shows_the_ratio(recipe: Path, tmp_path: Path):
    file = tmp_path / "speed.json"
    result = run("bench", "finetune", recipe, "--steps", "5", "--rounds", "1", "--json", file)
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()[1:]} == {"hangtag", "trl", "hangtag,"}
    assert file.exists()


def test_check_counts_preferences(tmp_path: Path, tiny_bundle: Path):
    write_feedback_file(tmp_path / "feedback.jsonl")
    data = {"feedback": ["feedback.jsonl"], "validation": {"share": 0.2}}
    for method, said in (("dpo", "pairs of right tags and suggested ones"), ("kto", "good answers,")):
        result = run("finetune", "check", write_recipe(tmp_path, tiny_bundle / "base", method=method, data=data))
        assert result.exit_code == 0
        assert said in result.stdout


def test_what_is_wrong_is_said_in_a_line(recipe: Path, tmp_path: Path, tiny_bundle: Path):
    for arguments, said in (
        (["check", recipe, "--set", "lora.rnak=8"], "did you mean 'rank'?"),
        (["check", recipe, "--set", f"base.model={tmp_path / 'none'}"], "base.model does not exist"),
        (["run", recipe, "--resume"], "no run here to go on with"),
        (["export", tmp_path, "--output", tmp_path / "bundle"], "no run here"),
    ):
        result = run("finetune", *arguments)
        assert result.exit_code in (1, 2)
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert said in result.stderr
    altered = shutil.copytree(tiny_bundle, tmp_path / "altered")
    (altered / "vocabulary.csv").write_text("label\nx\n")
    assert "was altered" in run("bundle", "diff", tiny_bundle, altered).stderr
