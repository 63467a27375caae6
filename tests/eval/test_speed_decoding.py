import json
from pathlib import Path

import pytest

from eval.speed.decoding import Plan, Row, growth, ratio, run, write_json
from hangtag.errors import InvalidSettings
from serve.settings import DEFAULT_BUNDLE


def row_of(size: int, engine: str, **figures: list[float]) -> Row:
    return Row("tekken", size, engine, dict(figures))


def test_figures_are_medians_but_memory_is_the_first_rounds() -> None:
    row = row_of(100, "hangtag", warm_us=[5.0, 1.0, 2.0], memory_bytes=[7.0, 900.0, 900.0])
    assert (row.figure("warm_us"), row.figure("memory_bytes"), row.figure("cold_us")) == (2.0, 7.0, None)


def test_ratios_are_to_llguidance_and_to_the_fewest_tags() -> None:
    rows = [
        row_of(100, "hangtag", warm_us=[2.0]),
        row_of(100, "llguidance", warm_us=[10.0]),
        row_of(900, "hangtag", warm_us=[3.0]),
    ]
    assert ratio(rows, rows[0], "warm_us") == pytest.approx(0.2)
    assert ratio(rows, rows[2], "warm_us") is None
    assert growth(rows, rows[2], "warm_us") == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"engines": ["hangtag", "guess"]}, "there is no engine 'guess'; there are: hangtag"),
        ({"tokenizers": ["tok"]}, "there is no tokenizer 'tok'"),
        ({"sizes": [99]}, "a size is 99"),
    ],
)
def test_plans_that_can_not_be_carried_out_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        Plan(**{"sizes": [100], "bundle": Path("nowhere"), "engines": ["hangtag"], "tokenizers": ["bundled"], **changed})  # type: ignore[arg-type]


def test_packages_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.speed.decoding.find_spec", lambda name: None)
    with pytest.raises(InvalidSettings, match=r"not installed: xgrammar, mistral-common; say .*\[bench\]"):
        Plan(sizes=[100], bundle=Path("nowhere"), engines=["hangtag", "xgrammar"])


def test_a_run_gives_every_figure_and_says_what_was_stopped(tmp_path: Path) -> None:
    plan = Plan(sizes=[100], bundle=DEFAULT_BUNDLE, engines=["hangtag"], tokenizers=["bundled"], rows=2, rounds=2)
    told: list[str] = []
    (rows,) = run(plan, told.append)
    assert len(told) == plan.measurements == 9
    assert rows[0].note == ""
    assert len(rows[0].rounds["warm_us"]) == 2
    assert rows[0].figure("logits_us") is not None
    write_json(plan, rows, tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert written["rows"][0]["figures"]["warm_us"] == rows[0].figure("warm_us")
    assert written["rows"][0]["to_fewest_tags"]["warm_us"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]

    hurried = Plan(sizes=[100], bundle=DEFAULT_BUNDLE, engines=["hangtag"], tokenizers=["bundled"], rounds=1, limit=0.0001)
    (rows,) = run(hurried, told.append)
    assert rows[0].note == "stopped: prepare took more than 0.0001 s"
    assert rows[0].figure("warm_us") is None


def test_an_engine_that_fails_says_so_in_its_row(tmp_path: Path) -> None:
    plan = Plan(sizes=[100], bundle=tmp_path, engines=["hangtag"], tokenizers=["bundled"], rounds=1)
    (rows,) = run(plan, lambda what: None)
    assert rows[0].note.startswith("InvalidBundle: ")
