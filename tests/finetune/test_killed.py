"""A run that is killed, with no moment to save anything, at three moments that chance decides, and a run that is interrupted."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.shop import write_recipe

STEPS = 9


def start(recipe: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.finetune.child", str(recipe), str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def wait_for(process: subprocess.Popen[str], step: int) -> None:
    """Until the process has done a step, or ended."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= step:
            return


def finished(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def curves(folder: Path) -> list[dict[str, Any]]:
    given = json.loads((folder / "curves.json").read_text())
    return [*given["loss"], *given["evaluations"]]


@pytest.fixture(scope="module")
def recipe(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With dropout: a resumed run needs the state of every source of chance too."""
    folder = tmp_path_factory.mktemp("shop")
    return write_recipe(folder, tiny_bundle / "base", schedule={"steps": STEPS, "learning_rate": 0.01})


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    finished(start(recipe, recipe.parent / "whole"))
    return recipe.parent / "whole"


def test_a_run_killed_three_times_ends_as_if_it_had_never_been(recipe: Path, whole: Path, tmp_path: Path):
    chance = random.Random()
    folder = tmp_path / "run"
    moments = []
    for first in (1, 4, 7):
        step, seconds = chance.randrange(first, first + 2), chance.uniform(0, 0.3)
        moments.append(f"{seconds:.3f} s after step {step}")
        process = start(recipe, folder, *(["--resume"] if len(moments) > 1 else []))
        wait_for(process, step)
        time.sleep(seconds)
        process.kill()
        process.communicate()
    finished(start(recipe, folder, "--resume"))
    expected = curves(whole)
    found = curves(folder)
    assert [each["step"] for each in found] == [each["step"] for each in expected], moments
    for mine, other in zip(found, expected, strict=True):
        assert mine == pytest.approx(other, abs=1e-3), moments


def test_an_interrupted_run_saves_what_it_has(recipe: Path, tmp_path: Path):
    folder = tmp_path / "run"
    process = start(recipe, folder)
    wait_for(process, 2)
    process.send_signal(signal.SIGINT)
    finished(process)
    saved = json.loads(max((folder / "checkpoints").glob("*/trainer_state.json")).read_text())["global_step"]
    assert 2 <= saved < STEPS
