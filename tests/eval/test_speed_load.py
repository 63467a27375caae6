"""Load on a real server, and what its answers are held to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from eval.speed.answers import AnswerCheck
from eval.speed.load import Load, Plan, copied, run, write_json
from hangtag.bundle import Bundle
from hangtag.errors import EngineError
from hangtag.vocabulary import Tag, TagVocabulary

VOCABULARY = TagVocabulary(
    "shop", [Tag("shirts", {"en": "Shirts"}), Tag("linen", {"en": "Linen", "zh": "亚麻"}, parent="shirts")]
)
ASKED = {"title": "A linen shirt", "description": "For hot days.", "explain": True}


def answer(*tags: tuple[str, str], explanation: str = "It says “linen”.", model: str = "shop@1") -> dict[str, Any]:
    return {"tags": [{"id": id, "label": label} for id, label in tags], "explanation": explanation, "model": model}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (answer(("linen", "亚麻"), ("shirts", "Shirts")), []),
        (answer(("linen", "Shirts > Linen")), []),
        (answer(("wool", "Wool")), ["a tag outside the vocabulary"]),
        (answer(("linen", "Silk")), ["a label that is not the tag's"]),
        (answer(("linen", "Linen"), ("linen", "Linen")), ["a tag twice"]),
        (answer(), ["too many tags, or none"]),
        (answer(("linen", "Linen"), explanation=""), ["a reason too many, or none"]),
        (answer(("linen", "Linen"), explanation="It says “cotton”."), ["a quotation that is not in the listing"]),
        (answer(("linen", "Linen"), model="shop@2"), ["an answer of another model"]),
    ],
)
def test_answers_are_held_to_what_was_asked(given: dict[str, Any], wrong: list[str]) -> None:
    assert list(AnswerCheck(VOCABULARY)(ASKED, given, "shop@1")) == wrong


def test_a_load_is_flawless_where_all_were_answered_rightly_and_nothing_was_refused() -> None:
    load = Load(2, 10.0, answers=40, statuses=Counter({"200": 50}), megabytes=[1, 2, 10, 10, 11, 11, 12, 14])
    assert (load.is_flawless, load.rate, load.growth) == (True, 5.0, 3.0)
    for flaw in ({"statuses": Counter({"200": 1, "503": 1})}, {"wrong": Counter({"a tag twice": 1})}, {"refused": ["no"]}, {}):
        assert Load(2, 10.0, **{"statuses": Counter({"200": 1}), **flaw}).is_flawless is not bool(flaw)  # type: ignore[arg-type]
    assert not Load(2, 10.0).is_flawless, "nobody was answered"


def test_a_copy_of_a_bundle_is_another_version_with_the_same_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    before = Bundle.load(tiny_bundle)
    name = copied(before, tmp_path / "copy", "load-0")
    copy, after = Bundle.load(tmp_path / "copy"), Bundle.load(tiny_bundle)
    assert copy.model == name == f"{before.name}@load-0"
    assert copy.base_id == before.base_id
    assert after.hash == before.hash, "the bundle itself was changed"


def test_callers_are_answered_while_adapters_come_and_go(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ["bench", "load", "--bundle", str(tiny_bundle), "--callers", "2,5", "--seconds", "5"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "f.json")])
    assert result.exit_code == 0, result.output
    assert "of the answers a second of 2" in result.stdout
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["engine"] == "local"
    for row, callers in zip(written["loads"], (2, 5), strict=True):
        assert row["callers"] == callers
        assert set(row["statuses"]) == {"200"}
        assert row["wrong"] == {}
        assert row["adapters"]["loaded"] == row["adapters"]["unloaded"] >= 2
        assert row["answers_per_second"] > 0
        assert row["megabytes"]


def test_a_server_that_does_not_start_says_why(tiny_bundle: Path) -> None:
    with pytest.raises(EngineError, match=r"the server did not start: .*is 'guess'"):
        list(run(Plan(tiny_bundle, (1,), 1.0, options=("--engine", "guess"))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--callers", "many"], "no list of numbers"),
        (["--callers", "0"], "ask nothing"),
        (["--json", "/nowhere/f.json"], "there is no directory /nowhere"),
    ],
)
def test_what_can_not_be_measured_is_said(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["bench", "load", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_figures_are_written(tmp_path: Path) -> None:
    load = Load(2, 10.0, answers=8, statuses=Counter({"200": 9}), waited=[1.0, 3.0], loaded=1, refused=["no"])
    write_json([load], {"engine": "local"}, tmp_path / "f.json")
    (row,) = json.loads((tmp_path / "f.json").read_text())["loads"]
    assert (row["answers_per_second"], row["waited_s"]["50"], row["adapters"]["refused"]) == (1.0, 2.0, ["no"])
