"""Rows from JSONL and back, and the split: what is refused, where the message says it is, what stays together."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eval.datasets import Row, read_rows, split, write_rows
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


def test_the_split_ignores_order_and_keeps_products_together() -> None:
    rows = [Row(Listing("Mug", id=f"{n}.{side}"), ("mug",), f"p{n}") for n in range(500) for side in ("en", "zh")]
    train, test = split(rows)
    assert sorted(row.listing.id for row in train + test) == sorted(row.listing.id for row in rows)
    assert not {row.product_id for row in train} & {row.product_id for row in test}
    assert 0.15 < len(test) / len(rows) < 0.25
    assert {row.listing.id for row in split(reversed(rows))[1]} == {row.listing.id for row in test}
    assert split(rows, 0.0) == (rows, [])
    assert split(rows, 1.0) == ([], rows)
