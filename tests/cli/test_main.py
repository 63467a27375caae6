import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.cli.commands import Run, assert_refused
from tests.tiny import CHINESE, VOCABULARY


def test_help_is_there_without_any_heavy_import() -> None:
    heavy = {"torch", "numpy", "pydantic", "fastapi", "transformers", "rich.table"}
    code = f"import sys, cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("suggest", "vocabulary", "serve", "bundle", "eval"))


def test_suggest_shows_tags_confidence_facet_and_reason(run: Run) -> None:
    result = run("suggest", CHINESE, "--min-tags", "2", "--max-tags", "3")
    assert result.exit_code == 0
    head, *rows = result.stdout.split("\n\n")[0].splitlines()
    assert head.split() == ["Tag", "Confidence", "Facet"]
    assert 2 <= len(rows) <= 3
    for row in rows:
        label, confidence, facet = row.split()
        assert label in VOCABULARY
        assert 0 <= int(confidence.removesuffix("%")) <= 100
        assert facet in VOCABULARY
    _, reason, note = result.stdout.split("\n\n")
    assert reason
    assert note == "Confidence is not calibrated: it compares tags of one answer, no more.\n"
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_suggest_gives_json_of_the_documented_form(run: Run) -> None:
    result = run("suggest", "--title", "Linen shirt", "--attribute", "fit=relaxed", "--no-explanation", "--format", "json")
    body = json.loads(result.stdout)
    assert set(body) == {"id", "tags", "explanation", "language", "model", "vocabulary", "calibrated", "promise", "notices"}
    assert set(body["tags"][0]) == {"id", "label", "facet", "confidence", "auto", "interest"}
    assert (body["language"], body["explanation"], body["model"], body["notices"]) == ("en", "", "tiny@1", [])


def test_a_listing_that_was_cut_says_so(run: Run) -> None:
    result = run("suggest", "Linen", "--description", "A shirt for hot days. " * 200, "--no-explanation")
    assert "Note: only " in result.stdout


def test_a_vocabulary_file_and_a_history_count(run: Run, tmp_path: Path) -> None:
    tags, history = tmp_path / "mine.csv", tmp_path / "history.jsonl"
    tags.write_text("id,en\nx,Beach wear\ny,Office wear\n", encoding="utf-8")
    event = {"type": "purchase", "at": "2026-01-31T18:00:00Z", "tags": ["Office wear"]}
    history.write_text(f"{json.dumps(event)}\n" * 2000, encoding="utf-8")
    result = run(
        "suggest", "A present", "--vocabulary", str(tags), "--history", str(history), "--format", "json", "--no-explanation"
    )
    body = json.loads(result.stdout)
    assert body["tags"][0]["id"] == "y"
    assert body["vocabulary"]["name"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ["the listing is empty", "give a title"]),
        (("",), ["the listing is empty"]),
        (("x" * 100_000,), ["100,000 characters, at most 20,000"]),
        (("a\x07b",), ["title has the control character U+0007 at offset 1"]),
        (("a", "--attribute", "\x1b[31m=x"), ["control character U+001B"]),
        (("a", "--attribute", "fit"), ["--attribute 'fit' has no '='"]),
        (("a", "--title", "b"), ["the title is given twice"]),
        (("a", "--language", "fr"), ["does not answer in 'fr'", "en, zh"]),
        (("a", "--min-tags", "3", "--max-tags", "2"), ["max_tags (2) is below min_tags (3)"]),
        (("a", "--max-tags", "9"), ["max_tags is 9, but the vocabulary has only 8 tags"]),
        (("a", "--vocabulary", "none.csv"), ["none.csv: can't be read: No such file"]),
        (("a", "--history", "none.jsonl"), ["none.jsonl: can't be read: No such file"]),
        (("a", "--bundle", "nowhere"), ["nowhere: no bundle here"]),
    ],
)
def test_invalid_input_is_one_line_that_says_what_and_where(run: Run, arguments: tuple[str, ...], parts: list[str]) -> None:
    assert_refused(run("suggest", *arguments), *parts)


def test_an_unknown_tag_in_a_history_is_named_with_its_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text('\n{"type": "like", "at": "2026-01-31T18:00:00Z", "tags": ["silk"]}\n', encoding="utf-8")
    assert_refused(run("suggest", "a", "--history", str(file)), f"{file}: line 2:", "no tag 'silk'")


def test_a_broken_vocabulary_line_is_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tags.csv"
    file.write_text("id,en\na,Linen\nb,Silk,7\n", encoding="utf-8")
    for arguments in (
        ["suggest", "a", "--vocabulary", str(file)],
        ["vocabulary", "check", str(file)],
        ["vocabulary", "show", str(file)],
    ):
        assert_refused(run(*arguments), f"{file}: line 3: 3 columns, the header has 2")


def test_a_bundle_with_a_wrong_hash_is_refused(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    directory = tmp_path / "altered"
    shutil.copytree(tiny_bundle, directory)
    with (directory / "vocabulary.csv").open("a", encoding="utf-8") as file:
        file.write("x,x,X,X,,\n")
    for arguments in (["suggest", "a", "--bundle", str(directory)], ["bundle", "show", str(directory)]):
        assert_refused(run(*arguments), "the vocabulary 'vocabulary.csv' was altered")


def test_a_template_with_an_unknown_variable_is_named_with_its_line(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    from hangtag.bundle import hash_path

    directory = tmp_path / "mistaken"
    shutil.copytree(tiny_bundle, directory)
    (directory / "mini.j2").write_text("{% block user %}\n{{ colour }}{% endblock %}", encoding="utf-8")
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    manifest["components"]["prompt"]["sha256"] = hash_path(directory / "mini.j2")
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert_refused(run("suggest", "a", "--bundle", str(directory)), "mini.j2: line 2: unknown variable 'colour'", "interests")


def test_an_engine_that_fails_ends_with_1(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    from hangtag.bundle import hash_path

    directory = tmp_path / "broken"
    shutil.copytree(tiny_bundle, directory)
    (directory / "base" / "model.safetensors").write_bytes(b"no weights")
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    manifest["components"]["base"]["sha256"] = hash_path(directory / "base")
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert_refused(run("suggest", "a", "--bundle", str(directory)), "the model can't be loaded", code=1)


def test_an_unknown_setting_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_MODLE", "x")
    assert_refused(run("suggest", "a"), "HANGTAG_MODLE is no setting")
    assert_refused(run("serve"), "HANGTAG_MODLE is no setting")


def test_a_port_that_is_none_is_refused(run: Run) -> None:
    assert_refused(run("serve", "--port", "70000"), "the setting port (HANGTAG_PORT) is 70000")


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    assert run("suggest", "a", "--colour", "red").exit_code == 2


def test_vocabulary_check_counts(run: Run, tiny_bundle: Path) -> None:
    result = run("vocabulary", "check", str(tiny_bundle / "vocabulary.csv"))
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert "tags 8 languages en (8), zh (8) facets category (3), material (2), feature (2), season (1)" in words


def test_vocabulary_check_tells_of_missing_labels(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tags.csv"
    file.write_text("id,en,zh\na,Linen,亚麻\nb,Silk,\n", encoding="utf-8")
    assert "1 tags have no label in zh" in run("vocabulary", "check", str(file)).stdout


def test_vocabulary_show_filters(run: Run, tiny_bundle: Path) -> None:
    file = str(tiny_bundle / "vocabulary.csv")
    assert "8 of 8 tags" in run("vocabulary", "show", file).stdout
    found = run("vocabulary", "show", file, "--facet", "material", "--find", "FLAX").stdout
    assert "material/linen" in found
    assert "1 of 8 tags" in found
    assert run("vocabulary", "show", file, "--find", "velvet").stdout == "0 of 8 tags\n"
    assert_refused(run("vocabulary", "show", file, "--facet", "colour"), "no tag has the facet 'colour'; facets: category")


def test_bundle_show_shows_what_is_in_it(run: Run, tiny_bundle: Path) -> None:
    words = " ".join(run("bundle", "show", str(tiny_bundle)).stdout.split())
    assert "model tiny@1 base base adapter adapter prompt mini.j2" in words
    assert words.endswith("All hashes match.")


def test_the_module_runs_as_a_command_and_pipes_utf8_or_escapes(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "cli", "vocabulary", "show", str(tiny_bundle / "vocabulary.csv"), "--find", "linen"]
    for encoding, written in (("utf-8", "亚麻"), ("ascii", "\\u4e9a\\u9ebb")):
        environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PATH": ""}
        done = subprocess.run(command, capture_output=True, env=environment, check=True)
        assert written in done.stdout.decode("utf-8")
