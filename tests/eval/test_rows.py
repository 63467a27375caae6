"""Rows from JSONL and back: what is refused or skipped, and where the message says it is."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eval.rows import Row, read_file, read_rows, write_rows
from hangtag.errors import InvalidData
from hangtag.history import Event
from hangtag.listing import Listing

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FULL = Row(
    Listing("Linen shirt", "Airy.\u2028Blue.", (("fabric", "linen"), ("fit", "loose")), "en", "1"),
    ("shirt", "linen"),
    product_id="p1",
    category="tops",
    user_id="u1",
    events=(Event("like", NOON, ("shirt",), "p2"),),
    at=NOON,
)
BARE = Row(Listing("亚麻衬衫", id="2"), ("衬衫",))


def _file(path: Path, *rows: object) -> Path:
    file = path / "rows.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return file


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_rows([FULL, BARE], tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == [FULL, BARE]


def test_a_compressed_file_reads_the_same(tmp_path: Path) -> None:
    write_rows([FULL], tmp_path / "rows.jsonl")
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    assert read_rows(packed) == [FULL]


GOOD = {"id": "a", "title": "Mug", "tags": ["mug"]}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('{"id": ', "not valid JSON"),
        ("[1]", "not a JSON object"),
        (GOOD | {"colour": "red"}, "unknown field 'colour'"),
        ({"id": "b", "title": "Mug"}, "`tags` is missing"),
        (GOOD | {"id": "b", "tags": []}, "no tags"),
        (GOOD | {"id": "b", "tags": ["mug", "mug"]}, "a tag twice"),
        (GOOD | {"id": "b", "tags": ["mug\ud800"]}, "control character"),
        (GOOD | {"id": "b", "tags": "mug"}, "not a list"),
        ({"id": "b", "tags": ["mug"]}, "the listing is empty"),
        ({"title": "Mug", "tags": ["mug"]}, "no id"),
        (GOOD | {"id": "b", "title": 3}, "`title` is not a string"),
        (GOOD | {"id": "b", "title": "x" * 20_001}, "at most 20,000"),
        (GOOD | {"id": "b", "attributes": {"size": 3}}, "`attributes` is not an object of strings"),
        (GOOD | {"id": "b", "at": "yesterday"}, "yesterday"),
        (GOOD | {"id": "b", "at": "2026-01-02T12:00"}, "no zone"),
        (GOOD | {"id": "b", "events": [{"type": "like"}]}, "`at` is missing"),
        (GOOD | {"id": "b", "events": ["like"]}, "`events` is not a list of objects"),
        (
            GOOD | {"id": "b", "at": "2026-01-01T12:00Z", "events": [{"type": "like", "at": "2026-01-02T12:00Z"}]},
            "an event is later than the row's own time",
        ),
        ('{"id": ' + "9" * 5000 + "}", "not valid JSON"),
        (GOOD | {"id": "b", "events": [{"type": "steal", "at": "2026-01-02T12:00Z"}]}, "unknown event type"),
        (GOOD, "the id 'a' stands in line 1 already"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: object, says: str) -> None:
    file = _file(tmp_path, GOOD, "", bad)
    with pytest.raises(InvalidData) as caught:
        read_rows(file)
    assert str(caught.value).startswith(f"{file}: line 3: ")
    assert says in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    (tmp_path / "latin.jsonl").write_bytes(b'{}\n{"id": "\xe9"}')
    with pytest.raises(InvalidData, match=r"absent\.jsonl: can't be read"):
        read_rows(tmp_path / "absent.jsonl")
    with pytest.raises(InvalidData, match=r"broken\.gz: can't be read"):
        read_rows(tmp_path / "broken.gz")
    with pytest.raises(InvalidData, match=r"latin\.jsonl: line 2: not UTF-8 \(byte 0xe9\)"):
        read_rows(tmp_path / "latin.jsonl")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="2 rows have the id '2'"):
        write_rows([BARE, BARE], tmp_path / "rows.jsonl")
    with pytest.raises(InvalidData, match="stands twice"):
        Row(Listing("Mug", attributes=(("size", "1"), ("size", "2")), id="1"), ("mug",))
    assert not (tmp_path / "rows.jsonl").exists()


def test_bad_lines_can_be_left_out_and_each_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps(GOOD), '{"id": ', json.dumps(GOOD), json.dumps(GOOD | {"id": "b", "tags": []}), "", "[1]"]
    broken = b'{"id": "c", "title": "\xe9", "tags": ["mug"]}'
    file.write_bytes("\n".join(lines).encode() + b"\n" + broken + b"\n" + json.dumps(GOOD | {"id": "z"}).encode())
    found = read_file(file, skip_bad=True)
    assert [row.listing.id for row in found.rows] == ["a", "z"]
    assert found.lines == (1, 8)
    assert found.place(1) == f"{file}: line 8"
    assert [(each.file, each.line) for each in found.skipped] == [(str(file), line) for line in (2, 3, 4, 6, 7)]
    reasons = [each.reason for each in found.skipped]
    for reason, says in zip(
        reasons, ["not valid JSON", "stands in line 1", "no tags", "not a JSON object", "U+DCE9"], strict=True
    ):
        assert says in reason
        assert str(file) not in reason
    assert len(found.sha256) == 64


def test_a_missing_file_is_an_error_even_where_lines_may_be_bad(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"absent\.jsonl: can't be read"):
        read_file(tmp_path / "absent.jsonl", skip_bad=True)


def test_rows_that_are_left_out_later_keep_their_lines(tmp_path: Path) -> None:
    file = read_file(_file(tmp_path, GOOD, "", GOOD | {"id": "b"}, GOOD | {"id": "c"}))
    left = file.without({1: "no room"})
    assert [row.listing.id for row in left.rows] == ["a", "c"]
    assert left.lines == (1, 4)
    assert [(each.line, each.reason) for each in left.skipped] == [(3, "no room")]
