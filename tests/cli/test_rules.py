"""The options of `hangtag suggest` for a merchant's rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Run, assert_refused


def ids(run: Run, *arguments: str) -> list[str]:
    result = run("suggest", "Linen shirt and shoes", "--no-explanation", "--format", "json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [tag["id"] for tag in json.loads(result.stdout)["tags"]]


def test_tags_can_be_banned_or_the_only_ones(run: Run) -> None:
    assert ids(run, "--only", "season/summer") == ["season/summer"]
    few = ids(run, "--only", "season/summer", "--only", "category/shoes", "--ban", "season/summer")
    assert few == ["category/shoes"]


def test_facets_can_be_limited_and_tags_can_exclude_each_other(run: Run) -> None:
    most = ids(
        run, "--min-tags", "2", "--max-tags", "8", "--limit", "category=1", "--limit", "feature=0", "--limit", "material=1"
    )
    assert sum(tag_id.startswith("category/") for tag_id in most) <= 1
    assert not any(tag_id.startswith("feature/") for tag_id in most)
    group = ["category/shoes", "category/shirts", "material/linen"]
    one = ids(run, "--min-tags", "6", "--max-tags", "8", "--exclusive", ", ".join(group))
    assert len(set(group) & set(one)) == 1


def test_a_tag_or_its_parent_and_ids_with_commas(run: Run, tmp_path: Path) -> None:
    tags = tmp_path / "tags.csv"
    tags.write_text('id,en,parent\n"hats, caps",Hats,\nbeanie,Beanie,"hats, caps"\nscarf,Scarf,\n', encoding="utf-8")
    arguments = ["--vocabulary", str(tags), "--min-tags", "2"]
    assert len(ids(run, *arguments, "--parent-or-child")) == 2
    assert not {"hats, caps", "beanie"} <= set(ids(run, *arguments, "--parent-or-child"))
    assert not {"hats, caps", "scarf"} <= set(ids(run, *arguments, "--exclusive", 'scarf,"hats, caps"'))
    assert "hats, caps" not in ids(run, *arguments, "--ban", "hats, caps")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--ban", "Linen"], ["banned: ", "no tag with the id 'Linen'", "did you mean 'material/linen' (Linen)?"]),
        (["--only", "material/linnen"], ["only: ", "did you mean 'material/linen' (Linen)?"]),
        (["--limit", "category"], ["--limit 'category' is not FACET=NUMBER"]),
        (["--limit", "category=many"], ["--limit 'category=many' is not FACET=NUMBER"]),
        (["--limit", "category=-1"], ["is not FACET=NUMBER"]),
        (["--limit", "=1"], ["--limit '=1' is not FACET=NUMBER"]),
        (["--limit", "category=" + "9" * 5000], ["is not FACET=NUMBER"]),
        (["--limit", "category=1", "--limit", "category=2"], ["two things of the facet 'category'"]),
        (["--limit", "size=1"], ["no facet 'size'; facets: category, feature, material, season"]),
        (["--exclusive", "category/shoes"], ["two of them at least"]),
        (["--exclusive", ""], ["two of them at least"]),
        (["--exclusive", 'a,"b'], ["--exclusive can't be read", "write ID,ID"]),
        (["--only", "season/summer", "--min-tags", "2"], ["min_tags is 2, but the rules leave room for only 1"]),
        (["--only", "season/summer", "--ban", "season/summer"], ["the rules leave no tag at all"]),
    ],
)
def test_rules_that_are_wrong_are_said(run: Run, arguments: list[str], parts: list[str]) -> None:
    assert_refused(run("suggest", "a", *arguments), *parts)
