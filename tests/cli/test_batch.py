"""`hangtag batch` from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.cli.commands import Run, assert_refused
from tests.serve.catalogues import SHOPIFY, csv_rows, json_rows


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text("sku,name,colour\n1,Linen shirt,navy\n2,高品质蓝牙耳机，降噪效果显著,\n2,Twice,\n", encoding="utf-8")
    return path


def test_a_catalogue_is_tagged_and_bad_rows_are_said(run: Run, shop: Path) -> None:
    out = shop.with_name("tagged.csv")
    arguments = ["batch", str(shop), str(out), "--column", "title=name", "--column", "id=sku", "--column", "attribute=colour"]
    result = run(*arguments, "--max-tags", "1", "--only", "material/linen")
    assert result.exit_code == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("2 rows tagged, in ")
    assert first.endswith(f"; they are in {out}")
    reason = "the first: line 4: the id '2' stands in line 3 already; ids must differ"
    assert second == f"1 rows could not be tagged, {reason}; they are in {out}.bad.jsonl"
    assert [row["hangtag_tags"] for row in csv_rows(out)] == ["Linen", "亚麻"]
    assert csv_rows(out)[0]["hangtag_explanation"]
    again = run(*arguments, "--max-tags", "1", "--only", "material/linen")
    assert again.stdout.startswith("2 rows tagged, 2 of them before, in ")
    assert "2/2" in again.stderr


def test_shopifys_file_is_recognised_unless_columns_are_said(run: Run, tmp_path: Path) -> None:
    path, out, plain = tmp_path / "products.csv", tmp_path / "merged.csv", tmp_path / "plain.csv"
    path.write_text(SHOPIFY, encoding="utf-8")
    result = run("batch", str(path), str(out), "--no-explanation", "--language", "zh")
    assert result.stdout.startswith("2 products tagged")
    assert csv_rows(out)[0]["Tags"].startswith("Sale, linen, ")
    assert not csv_rows(out)[0]["Tags"].isascii()
    result = run("batch", str(path), str(plain), "--no-explanation", "--column", "title=Title")
    assert result.stdout.startswith("2 rows tagged")
    assert csv_rows(plain)[0]["Tags"] == "Sale, linen"
    assert len(json_rows(tmp_path / "plain.csv.bad.jsonl")) == 2


def test_another_encoding_is_read_and_utf_8_written(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "o.csv"
    path.write_bytes("title\r\n亚麻衬衫\r\n".encode("gb18030"))
    assert_refused(run("batch", str(path), str(out)), "line 2: not UTF-8 (byte 0xd1)", "say its --encoding, such as gb18030")
    assert run("batch", str(path), str(out), "--encoding", "gb18030", "--no-explanation").exit_code == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbftitle,hangtag_tags")
    assert csv_rows(out)[0]["title"] == "亚麻衬衫"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.csv", "out.csv"], 2, "none.csv: can't be read: No such file"),
        (["shop.csv", "shop.csv"], 1, "shop.csv: would be written over what is read; name another file"),
        (["shop.csv", "out.parquet"], 2, "Parquet stays Parquet"),
        (["shop.csv", "nowhere/out.csv"], 1, "there is no directory nowhere; make it first"),
        (["shop.csv", "out.csv"], 2, "no column is called title or description; say which one is"),
        (["shop.csv", "out.csv", "--column", "title=Name"], 2, "there is no column 'Name' for title; did you mean 'name'?"),
        (["shop.csv", "out.csv", "--column", "title=name", "--ban", "x/y"], 2, "no tag with the id 'x/y'"),
        (["shop.csv", "out.csv", "--column", "title=name", "--encoding", "klingon"], 2, "'klingon' is no encoding"),
    ],
)
def test_what_can_not_be_done_is_said(
    run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(shop.parent)
    result = run("batch", *arguments)
    assert_refused(result, message, code=code)
    assert not (shop.parent / "out.csv").exists()


def test_interrupted_it_says_how_to_go_on(tiny_bundle: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "o.csv"
    path.write_text("id,title\n" + "".join(f"{n},Linen shirt {n} for summer\n" for n in range(3000)), encoding="utf-8")
    environment = {**os.environ, "HANGTAG_BUNDLE": str(tiny_bundle), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cli", "batch", str(path), str(out)]
    heeded = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeded
    )
    journal, deadline = tmp_path / "o.csv.hangtag.jsonl", time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size > 1000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, ""), stderr
    assert stderr.splitlines()[-1] == f"Interrupted; the same command goes on where it was. Answers are kept beside {out}."
    assert not out.exists()
    assert json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])["answer"]["tags"]
