"""Rows written back as they were, and what a full disk does."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.catalogue.tables import CsvTable, Record, open_table
from serve.catalogue.writing import CsvWriter, harmless, text_of, writing

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8) | st.sampled_from(
    ["", '"', "\r", "\n", ","]
)


@given(
    rows=st.lists(st.lists(cells, min_size=2, max_size=2).filter(lambda row: any(map(str.strip, row))), max_size=5),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_as_csv_is_read_again(
    rows: list[list[str]], newline: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.StringIO()
    writer = CsvWriter(file, ["a", "b"], ",", newline)
    for row in rows:
        writer.write(Record(1, {"a": row[0]}), {"b": row[1]})
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(file.getvalue().encode())
    assert [list(row.cells.values()) for row in open_table(path).rows() if isinstance(row, Record)] == rows
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True))[1:] == rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a", "a"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", 2], "a|2"),
        ([{"a": 1}], '[{"a": 1}]'),
        ({"k": "值"}, '{"k": "值"}'),
    ],
)
def test_values_as_cells(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "＝1"])
def test_formulas_become_texts(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless("a" + text) == "a" + text


FULL = """
import resource, sys
from pathlib import Path
from serve.catalogue.tables import Record, open_table
from serve.catalogue.writing import writing
path, out = map(Path, sys.argv[1:])
table = open_table(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with writing(table, out, {"b": "text"}) as writer:
        for row in table.rows():
            writer.write(row, {"b": "x" * 1000})
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, ending: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, out = tmp_path / f"in{ending if ending == '.parquet' else '.csv'}", tmp_path / f"out{ending}"
    texts = [str(number) * 40 for number in range(3000)]
    if ending == ".parquet":
        pq.write_table(pa.table({"a": texts}), source)
    else:
        source.write_text("a\n" + "\n".join(texts) + "\n")
    out.write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL, str(source), str(out)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("OutputError"), done
    assert "File too large; make room" in done.stdout
    assert out.read_text() == "old"
    assert {each.name for each in tmp_path.iterdir()} == {source.name, out.name}


@pytest.mark.parametrize("name", ["shop.v2.csv", "export.2026-11-30.csv", "SHOP.CSV"])
def test_what_separates_cells_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a;b\n1;2\n", encoding="utf-8")
    with writing(open_table(path), tmp_path / "out.csv", {"c": "text"}) as writer:
        writer.write(Record(2, {"a": "1", "b": "2"}), {"c": "3"})
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "a;b;c\n1;2;3\n"


def test_tsv_and_csv_become_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\nx,y\tz\n", encoding="utf-8")
    for name, expected in (("o.tsv", "a\tb\tc\nx,y\tz\t1\n"), ("o.csv", 'a,b,c\n"x,y",z,1\n')):
        table = open_table(path)
        assert isinstance(table, CsvTable)
        with writing(table, tmp_path / name, {"c": "text"}) as writer:
            for row in table.rows():
                assert isinstance(row, Record)
                writer.write(row, {"c": "1"})
        assert (tmp_path / name).read_text(encoding="utf-8") == expected
