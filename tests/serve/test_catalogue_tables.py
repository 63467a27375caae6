"""Tables: what is read, where it stood, and what becomes of rows that are broken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hangtag.errors import InvalidData
from serve.catalogue.tables import BrokenRecord, CsvTable, Record, open_table, read_table


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def shortly(path: Path, encoding: str | None = None) -> list[tuple[int, object]]:
    """Of each row its line, and its cells or why it has none."""
    rows = open_table(path, encoding).rows()
    return [(row.line, row.cells if isinstance(row, Record) else row.reason) for row in rows]


@pytest.mark.parametrize(
    ("content", "delimiter", "newline", "signed"),
    [
        ("id,title\n1,a\n", ",", "\n", False),
        ("\ufeffid;title\r\n1;a\r\n", ";", "\r\n", True),
        ("id\ttitle\n1\ta", "\t", "\n", False),
        ('"id;x","title;y"\n1,a\n', ",", "\n", False),
        ("id,title\n1,a\n".encode("utf-16"), ",", "\n", True),
    ],
)
def test_a_csv_tells_how_it_is_written(tmp_path: Path, content: str, delimiter: str, newline: str, signed: bool) -> None:
    table = open_table(written(tmp_path / "a.csv", content))
    assert isinstance(table, CsvTable)
    assert (table.delimiter, table.newline, table.signed) == (delimiter, newline, signed)
    (row,) = table.rows()
    assert isinstance(row, Record)
    assert list(row.cells.values()) == ["1", "a"]


def test_rows_are_where_they_begin_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'id,title\n1,"two\nlines, ""quoted"""\n\n , \n2,b\n')
    assert shortly(path) == [(2, {"id": "1", "title": 'two\nlines, "quoted"'}), (6, {"id": "2", "title": "b"})]
    assert shortly(path) == shortly(path)


def test_a_quote_that_nobody_closes_costs_its_own_line_only(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'id,title\n1,"open\n2,b\n3,"c ""d"""\n4,"e"f\n5,g,h\n6,i\n')
    assert shortly(path) == [
        (2, "not valid CSV: ',' expected after '\"'"),
        (3, {"id": "2", "title": "b"}),
        (4, {"id": "3", "title": 'c "d"'}),
        (5, "not valid CSV: ',' expected after '\"'"),
        (6, "3 columns, the header has 2; quote cells with ','"),
        (7, {"id": "6", "title": "i"}),
    ]
    assert shortly(written(path, 'id,title\n1,a\n2,"open\n3,c')) == [
        (2, {"id": "1", "title": "a"}),
        (3, "not valid CSV: unexpected end of data"),
        (4, {"id": "3", "title": "c"}),
    ]


def test_bytes_that_are_no_text_cost_their_row_only_and_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"id,title\n1,caf\xe9\n2,b\n")
    broken, good = open_table(path).rows()
    assert broken == BrokenRecord(2, "1,caf\udce9\n", "not UTF-8 (byte 0xe9); save the file as UTF-8", undecodable=True)
    assert good == Record(3, {"id": "2", "title": "b"})
    assert shortly(path, "cp1252")[0] == (2, {"id": "1", "title": "café"})
    lines = written(tmp_path / "a.jsonl", b'{"id": "1", "title": "caf\xe9"}\n{"id": "2"}\n')
    assert [line for line, _ in shortly(lines)] == [1, 2]
    assert isinstance(next(open_table(lines).rows()), BrokenRecord)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_chinese_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "a.csv", "编号,标题\r\n1,蓝牙耳机\r\n".encode(encoding))
    assert shortly(path, encoding) == [(2, {"编号": "1", "标题": "蓝牙耳机"})]


def test_jsonl_has_the_columns_of_all_its_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress('{"a": 1}\n\n{"b": ["x\u2028y"]}\n[1]\n{"a"\n'.encode()))
    table = open_table(path)
    assert table.columns == ("a", "b")
    assert shortly(path)[:3] == [(1, {"a": 1}), (3, {"b": ["x\u2028y"]}), (4, "not a JSON object")]
    assert str(shortly(path)[3][1]).startswith("not valid JSON: ")


def test_parquet_gives_rows_by_number_and_only_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 2], "tags": [["x"], None]}), path)
    assert shortly(path) == [(1, {"id": 1, "tags": ["x"]}), (2, {"id": 2, "tags": None})]
    assert [row.cells for row in open_table(path).rows({"id", "none"}) if isinstance(row, Record)] == [{"id": 1}, {"id": 2}]
    assert [row.line for row in open_table(path).rows(())] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"", "don't know the ending '.xlsx'; use .csv, .tsv, .jsonl or .parquet"),
        ("a.csv", b"id,id\n1,2\n", "a.csv: line 1: a column stands twice in ['id', 'id']"),
        ("a.csv", b'"id\n', "a.csv: line 1: not valid CSV: unexpected end of data"),
        ("a.csv", b"id,\xff\n", "a.csv: line 1: not UTF-8 (byte 0xff)"),
        ("a.csv", b"\xff\xfei\x00d\x00\n\x00x", "a.csv: not utf-16: truncated data"),
        ("a.csv.gz", b"id\n1\n", "a.csv.gz: can't be read"),
        ("a.csv.gz", gzip.compress(b"id\n" + bytes(range(48, 90)) * 9)[:-12], "a.csv.gz: can't be read"),
        ("a.parquet", b"PAR1", "a.parquet: can't be read as Parquet"),
        ("a.jsonl", b"{]\n", "a.jsonl: line 1: not valid JSON"),
        ("a.csv", b"id,title\n1\n", "a.csv: line 2: 1 columns, the header has 2"),
    ],
)
def test_what_can_not_be_read_is_said_with_file_and_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        read_table(written(tmp_path / name, content))
    assert message in str(caught.value)


def test_a_missing_file_and_an_unknown_encoding_are_said(tmp_path: Path) -> None:
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        with pytest.raises(InvalidData, match="can't be read"):
            read_table(tmp_path / name)
    for encoding in ("no-such", "hex"):
        with pytest.raises(InvalidData, match=f"'{encoding}' is no encoding; use one such as utf-8"):
            open_table(written(tmp_path / "a.csv", "id\n1\n"), encoding)
    with pytest.raises(InvalidData, match=r"a\.csv: not utf-16: .*; save the file as UTF-8"):
        open_table(written(tmp_path / "a.csv", "id\n1\n"), "utf-16")


def test_an_empty_file_has_no_columns_and_no_rows(tmp_path: Path) -> None:
    assert read_table(written(tmp_path / "a.csv", "")) == ((), [])
    assert read_table(written(tmp_path / "a.jsonl", "")) == ((), [])
