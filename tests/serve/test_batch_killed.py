"""Kill -9 at moments that chance picks, and the same command again: every row once, none asked twice that was kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.serve.catalogues import csv_rows, json_rows

ROWS = 1500
KILLS = 4
DRIVER = """
import asyncio, sys
from pathlib import Path
from hangtag.suggestion import Suggestion, TagSuggestion
from serve.batch import Batch, journal_file
from serve.catalogue.journal import Journal
from serve.catalogue.tables import open_table
from tests.fakes import vocabulary_of
from tests.serve.catalogues import layout_of

class Lengths:
    "Tags a listing with the length of its title, after a moment."
    vocabulary, identity = vocabulary_of("short", "long"), "lengths"
    async def suggest(self, request):
        await asyncio.sleep(0.002)
        tag = self.vocabulary.tags[len(request.listing.title) > 10]
        return Suggestion((TagSuggestion(tag, tag.id, 1.0),), request.listing.title, "en", "lengths", "v", "h")

source, out = map(Path, sys.argv[1:])
table = open_table(source)
print("ready", flush=True)
with Journal.opened(journal_file(out)) as journal:
    batch = Batch(table, layout_of(table, out), out, journal, Lengths())
    print(batch.survey().tagged, flush=True)
    asyncio.run(batch.ask(lambda: None, in_flight=8))
    batch.write()
    print("done", flush=True)
"""


def begin(source: Path, out: Path) -> subprocess.Popen[str]:
    """The command, once it has imported what it needs."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(source), str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,title\n" + "".join(f"{n},{'x' * (n % 20 + 1)}\n" for n in range(ROWS)), encoding="utf-8")
    seed = random.randrange(10**6)
    chance, kept = random.Random(seed), 0
    for _ in range(KILLS):
        process = begin(source, out)
        time.sleep(chance.uniform(0.01, 0.25))
        process.kill()
        said = process.communicate()[0].split()
        assert len(said) < 2 or int(said[0]) >= kept, f"seed {seed}"
        kept = max(0, len(json_rows_that_are_whole(tmp_path / "out.csv.hangtag.jsonl")) - 1)
        assert "done" in said or not out.exists() or len(csv_rows(out)) == ROWS, f"seed {seed}"
    said = begin(source, out).communicate()[0].split()
    assert said == [str(kept), "done"], f"seed {seed}"
    assert [row["id"] for row in csv_rows(out)] == [str(n) for n in range(ROWS)]
    assert all(row["hangtag_tags"] == ("long" if len(row["title"]) > 10 else "short") for row in csv_rows(out))
    assert all(row["hangtag_explanation"] == row["title"] for row in csv_rows(out))
    keys = [row["key"] for row in json_rows(tmp_path / "out.csv.hangtag.jsonl")[1:]]
    assert len(keys) == len(set(keys)) == ROWS, f"seed {seed}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "out.csv.hangtag.jsonl"]


def json_rows_that_are_whole(path: Path) -> list[object]:
    """The lines of a journal but for what was cut off of the last."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
