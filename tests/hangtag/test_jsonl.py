import gzip

import pytest

from hangtag.errors import InvalidData, InvalidHistory
from hangtag.jsonl import parse_objects, read_objects, read_text


def test_blank_lines_count_but_hold_nothing_and_only_line_feeds_end_lines():
    assert list(parse_objects('{"a": "x\u2028y"}\r\n\n {"b": 1}', "here", InvalidData)) == [(1, {"a": "x\u2028y"}), (3, {"b": 1})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("9" * 5000, "not valid JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
    ],
)
def test_a_bad_line_is_named_by_the_error_asked_for(line, message):
    with pytest.raises(InvalidHistory, match=f"^here: line 2: {message}"):
        list(parse_objects("{}\n" + line, "here", InvalidHistory))


def test_a_byte_order_mark_is_no_text_and_gz_is_unpacked(tmp_path):
    data = '\ufeff{"a": "亚麻"}\n'.encode()
    (tmp_path / "plain.jsonl").write_bytes(data)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(data))
    for name in ("plain.jsonl", "packed.jsonl.gz"):
        assert list(read_objects(tmp_path / name, InvalidData)) == [(1, {"a": "亚麻"})]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.txt", None, "none.txt: can't be read: No such file"),
        ("cut.gz", gzip.compress(b"x" * 100)[:-4], "cut.gz: can't be read"),
        ("gbk.txt", "a\n亚麻".encode("gbk"), r"gbk.txt: line 2: not UTF-8 \(byte 0xd1\)"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidData, match=message):
        read_text(tmp_path / name, InvalidData)
