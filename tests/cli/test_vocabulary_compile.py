"""`hangtag vocabulary compile` from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hangtag.bundle import write_manifest
from hangtag.compiled import CompiledVocabulary
from tests.cli.commands import Run, assert_refused


@pytest.fixture
def vocabulary(tiny_bundle: Path) -> str:
    return str(tiny_bundle / "vocabulary.csv")


def rows_of(stdout: str) -> list[list[str]]:
    return [line.split() for line in stdout.splitlines()[:-1]]


def test_a_file_is_written_for_each_language(run: Run, vocabulary: str, tmp_path: Path) -> None:
    directory = tmp_path / "compiled"
    result = run("vocabulary", "compile", vocabulary, "--output", str(directory))
    assert result.exit_code == 0
    head, *rows = rows_of(result.stdout)
    assert head == ["language", "tags", "nodes", "bytes", "a", "tag", "seconds", "hash"]
    assert [row[:2] for row in rows] == [["en", "8"], ["zh", "8"]]
    assert sorted(path.stem for path in directory.iterdir()) == sorted(row[-1] for row in rows)
    for language, _, nodes, size, _, hash_ in rows:
        compiled = CompiledVocabulary.find(directory, hash_)
        assert (compiled.language, len(compiled.trie.ends)) == (language, int(nodes))
        assert float(size) == pytest.approx(compiled.trie.nbytes / 8, abs=0.1)
    assert str(directory) in result.stdout.splitlines()[-1]


def test_the_environment_names_the_directory_and_suggest_uses_what_is_there(
    run: Run, vocabulary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANGTAG_VOCABULARY_DIR", str(tmp_path))
    assert run("vocabulary", "compile", vocabulary).exit_code == 0
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert run("suggest", "Linen shirt", "--no-explanation").exit_code == 0
    for file in files:
        file.write_bytes(b"")
    assert_refused(run("suggest", "Linen shirt"), "no compiled vocabulary", "compile the vocabulary again")
    assert run("vocabulary", "compile", vocabulary).exit_code == 0
    assert run("suggest", "Linen shirt", "--no-explanation").exit_code == 0


def test_a_directory_of_the_environment_that_is_none_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANGTAG_VOCABULARY_DIR", str(tmp_path / "none"))
    assert_refused(run("suggest", "a"), "none is no directory", "hangtag vocabulary compile")


def test_somebody_has_to_say_where_files_go(run: Run, vocabulary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANGTAG_VOCABULARY_DIR", raising=False)
    assert_refused(run("vocabulary", "compile", vocabulary), "give --output DIR, or set HANGTAG_VOCABULARY_DIR")
    (tmp_path / "file").touch()
    assert_refused(run("vocabulary", "compile", vocabulary, "--output", str(tmp_path / "file")), "is a file; give a directory")


def test_a_label_that_can_not_be_written_is_named_and_nothing_is_left(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle, out, tags = tmp_path / "lower", tmp_path / "out", tmp_path / "tags.csv"
    shutil.copytree(tiny_bundle, bundle)
    tokenizer = json.loads((bundle / "base" / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (bundle / "base" / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(bundle, manifest, {name: part["path"] for name, part in manifest.pop("components").items()})
    tags.write_text("id,en,zh\nmaterial/linen,linen,亚麻\nmaterial/silk,silk,Silk 丝绸\n", encoding="utf-8")
    arguments = ["vocabulary", "compile", str(tags), "--bundle", str(bundle), "--output", str(out)]
    assert_refused(run(*arguments), "can't write the tag 'material/silk' ('Silk 丝绸'); change its label")
    assert not out.exists()  # English was fine


def test_what_can_not_be_compiled_is_refused(run: Run, vocabulary: str, tmp_path: Path) -> None:
    out = ["--output", str(tmp_path / "out")]
    french = tmp_path / "french.csv"
    french.write_text("fr\nLin\n", encoding="utf-8")
    assert_refused(run("vocabulary", "compile", str(french), *out), "has labels in fr", "answers in en, zh only")
    assert_refused(run("vocabulary", "compile", "none.csv", *out), "none.csv: can't be read")
    assert_refused(run("vocabulary", "compile", vocabulary, "--bundle", "nowhere", *out), "nowhere: no bundle here")
    assert not (tmp_path / "out").exists()
