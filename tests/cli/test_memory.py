"""`hangtag memory` from the command line, with the tiny bundle, and the commands that use a memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Run, assert_refused

ROWS = [
    {"id": "1", "title": "Airy camp piece, washed", "tags": ["Linen", "Shirts"]},
    {"id": "2", "title": "Glossy office piece", "tags": ["Cotton", "Shirts"], "product_id": "p"},
    {"id": "3", "title": "静音 头戴", "tags": ["耳机", "feature/noise-cancelling"]},
]


def written(file: Path, *rows: object) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return written(tmp_path / "rows.jsonl", *ROWS)


@pytest.fixture
def memory(run: Run, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A memory of the rows, named by the environment."""
    monkeypatch.setenv("HANGTAG_MEMORY", str(tmp_path / "memory"))
    assert run("memory", "add", rows).exit_code == 0
    return tmp_path / "memory"


def test_rows_are_remembered_and_adding_them_again_changes_nothing(run: Run, rows: str, tmp_path: Path) -> None:
    arguments = ["memory", "add", rows, "--memory", str(tmp_path / "memory")]
    assert "3 added, 0 replaced, 0 unchanged; " in run(*arguments).stdout
    result = run(*arguments)
    assert "0 added, 0 replaced, 3 unchanged; " in result.stdout
    assert result.stdout.splitlines()[0].endswith("has 3 listings")
    written(tmp_path / "rows.jsonl", ROWS[0] | {"tags": ["Linen"]})
    assert "0 added, 1 replaced, 0 unchanged; " in run(*arguments).stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "9", "title": "a", "tags": ["Tweed"]}, "the vocabulary 'tiny' has no tag 'Tweed'"),
        ({"id": "9", "title": "a", "tags": []}, "has no tags"),
        ({"id": "9", "tags": ["Linen"]}, "the listing is empty"),
        ({"id": "1", "title": "a", "tags": ["Linen"]}, "the id '1' stands in line 1 already"),
        ({"title": "a", "tags": ["Linen"]}, "has no id"),
        ([], "not a JSON object"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_remembered_or_it_is_skipped_and_said_so(
    run: Run, tmp_path: Path, line: object, message: str
) -> None:
    file = written(tmp_path / "rows.jsonl", *ROWS, line)
    arguments = ["memory", "add", file, "--memory", str(tmp_path / "memory")]
    assert_refused(run(*arguments), "rows.jsonl: line 4: ", message)
    assert not (tmp_path / "memory").exists()
    result = run(*arguments, "--skip-bad")
    assert "3 added" in result.stdout
    (skipped,) = (each for each in result.stdout.splitlines() if each.startswith("Skipped: line 4: "))
    assert message in skipped


def test_tags_that_the_vocabulary_lacks_can_be_left_out(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", ROWS[0] | {"tags": ["Linen", "Tweed"]}, ROWS[1] | {"tags": ["Tweed"]})
    result = run("memory", "add", file, "--memory", str(tmp_path / "memory"), "--known-tags")
    assert "1 added" in result.stdout
    assert "1 rows and 1 labels" in result.stdout


def test_nothing_to_remember_no_folder_and_no_memory_are_errors(run: Run, rows: str, tmp_path: Path) -> None:
    assert_refused(run("memory", "add", rows), "give --memory DIR, or set HANGTAG_MEMORY")
    assert_refused(run("memory", "add", str(tmp_path / "none"), "--memory", str(tmp_path / "memory")), "none: can't be read")
    empty = written(tmp_path / "empty.jsonl")
    assert_refused(run("memory", "add", empty, "--memory", str(tmp_path / "memory")), "empty.jsonl", "no row")
    for command in (["memory", "fit"], ["memory", "show"], ["suggest", "a"]):
        assert_refused(run(*command, "--memory", str(tmp_path / "none")), "no memory here", "hangtag memory add")
    (tmp_path / "file").touch()
    assert_refused(run("memory", "add", rows, "--memory", str(tmp_path / "file")), "broken")


def test_show_counts_and_finds_what_is_alike(run: Run, memory: Path, tmp_path: Path) -> None:
    shown = run("memory", "show").stdout
    assert "3 listings with 5 different tags" in shown
    assert next(line for line in shown.splitlines() if line.startswith("Shirts")).split() == ["Shirts", "2"]
    assert "Not fitted" in shown
    alike = run("memory", "show", "--like", "airy piece").stdout.splitlines()
    assert alike[0].split() == ["likeness", "id", "title", "tags"]
    assert alike[1].split()[1:] == ["1", "Airy", "camp", "piece,", "washed", "Linen,", "Shirts"]
    assert len(run("memory", "show", "--like", "piece", "--count", "1").stdout.splitlines()) == 2
    assert "No remembered listing" in run("memory", "show", "--like", "xylophone").stdout
    tags = tmp_path / "tags.txt"
    tags.write_text("Linen\nTweed\n", encoding="utf-8")
    assert "Note: 5 of these tags are not in the vocabulary" in run("memory", "show", "--vocabulary", str(tags)).stdout


def test_few_listings_are_not_fitted(run: Run, memory: Path) -> None:
    result = run("memory", "fit")
    assert "too few" in result.stdout
    assert result.exit_code == 0


def test_fitting_shows_what_it_found_and_show_repeats_it(run: Run, memory: Path, tmp_path: Path) -> None:
    more = [ROWS[number % 3] | {"id": str(number)} for number in range(4, 13)]
    assert "Now find out" in run("memory", "add", written(tmp_path / "more.jsonl", *more)).stdout
    result = run("memory", "fit")
    assert "Trusted as 12 of its listings said" in result.stdout
    assert "nDCG@5, fitted" in result.stdout
    assert result.stdout.strip() in run("memory", "show").stdout


def test_a_broken_trust_is_an_error_that_names_the_file(run: Run, memory: Path) -> None:
    (memory / "trust.json").write_text("{", encoding="utf-8")
    for command in (["memory", "show"], ["suggest", "a"]):
        assert_refused(run(*command), "trust.json", "say `hangtag memory fit` again, or remove the file")


def test_suggestions_are_as_remembered_listings_have_it(run: Run, memory: Path, tmp_path: Path) -> None:
    tags = tmp_path / "tags.csv"
    tags.write_text("id,en\nqq,Quux\nbb,Baz\ncc,Corge\n", encoding="utf-8")
    rows = written(tmp_path / "own.jsonl", {"id": "1", "title": "airy camp piece", "tags": ["Corge"]})
    other = ["--vocabulary", str(tags), "--memory", str(tmp_path / "other")]
    assert run("memory", "add", rows, *other).exit_code == 0
    result = run("suggest", "Airy camp piece", "--max-tags", "1", "--no-explanation", "--format", "json", *other)
    assert [tag["id"] for tag in json.loads(result.stdout)["tags"]] == ["cc"]
