"""The benchmark of catalogues: what it makes, and that both turns do the same work."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

from eval.speed.batch import Figures, Round, make_catalogue, measure, write_json
from serve.suggester import Suggester


def test_a_catalogue_is_the_same_on_every_machine_and_names_tags(suggester: Suggester, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (first, second):
        make_catalogue(suggester.vocabulary, ("en", "zh"), 40, path)
    assert first.read_bytes() == second.read_bytes()
    with first.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["title"] for row in rows}) > 30
    labels = [{tag.label(language) for tag in suggester.vocabulary} for language in ("en", "zh")]
    assert all(sum(label in row["title"] for label in labels[place % 2]) >= 2 for place, row in enumerate(rows))


def test_both_turns_have_the_same_requests(suggester: Suggester, tmp_path: Path) -> None:
    for name, count in (("warm-up.csv", 3), ("a.csv", 12)):
        make_catalogue(suggester.vocabulary, ("en", "zh"), count, tmp_path / name)
    told: list[str] = []
    engine = suggester.engine
    figures = asyncio.run(measure(suggester, tmp_path / "warm-up.csv", tmp_path / "a.csv", tmp_path, 2, told.append, 4))
    assert suggester.engine is engine
    rounds = ["batch, round 1", "the engine alone, round 1", "batch, round 2", "the engine alone, round 2"]
    assert told == ["warming up", *rounds]
    assert figures.listings == 12
    first, second = figures.rounds
    assert first.tokens == second.tokens > 12 * 3
    assert min(first.batch_s, first.engine_s) > 0


def test_figures_are_ratios_and_go_to_json(tmp_path: Path) -> None:
    figures = Figures(10, (Round(2.0, 1.0, 5), Round(4.0, 3.0, 5), Round(1.0, 1.0, 5)))
    assert figures.ratio == 0.75
    write_json(figures, {"engine": "local"}, tmp_path / "f.json")
    written = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert (written["engine"], written["listings"], written["ratio"]) == ("local", 10, 0.75)
    assert written["rounds"][0] == {"batch_s": 2.0, "engine_s": 1.0, "tokens": 5, "ratio": 0.5}
