from datetime import UTC, datetime
from pathlib import Path

import pytest

from hangtag.errors import InvalidHistory
from hangtag.history import Event
from hangtag.history_formats import read_history
from hangtag.vocabulary import Tag, TagVocabulary

VOCABULARY = TagVocabulary(
    "shop", [Tag(id="m/linen", labels={"en": "Linen", "zh": "亚麻"}), Tag(id="m/cotton", labels={"en": "Cotton"})]
)


def test_events_are_read_with_labels_and_ids_as_ids(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    lines = [
        '{"type": "view", "at": "2026-01-31T18:00:00Z", "tags": ["亚麻", "m/cotton", "Linen"], "product": "p1"}',
        "",
        '{"type": "like", "at": "2026-02-01T18:00:00+08:00"}',
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    first, second = read_history(file, VOCABULARY)
    assert first == Event("view", datetime(2026, 1, 31, 18, tzinfo=UTC), ("m/linen", "m/cotton"), "p1")
    assert second.at == datetime(2026, 2, 1, 10, tzinfo=UTC)
    assert second.tags == ()


@pytest.mark.parametrize(
    ("line", "message", "field"),
    [
        ("{", "not valid JSON", None),
        ("[" * 100_000, "not valid JSON", None),
        ('{"type": ' + "9" * 5000 + "}", "not valid JSON", None),
        ("[]", "not a JSON object", None),
        ('{"type": "view"}', "`at` is missing", "at"),
        ('{"type": "view", "at": 5}', "`at` is missing or not a string", "at"),
        ('{"type": "view", "at": "2026-01-31T18:00:00"}', "has no zone", "at"),
        ('{"type": "view", "at": "yesterday"}', "'yesterday' is no time", "at"),
        ('{"type": "stare", "at": "2026-01-31T18:00:00Z"}', "unknown event type 'stare'", "type"),
        ('{"type": "view", "at": "2026-01-31T18:00:00Z", "tags": ["silk"]}', "has no tag 'silk'", "tags"),
        ('{"type": "view", "at": "2026-01-31T18:00:00Z", "tags": "Linen"}', "`tags` is not a list", "tags"),
        ('{"type": "view", "at": "2026-01-31T18:00:00Z", "tag": []}', "unknown field 'tag'", "tag"),
        ('{"type": "view", "at": "2026-01-31T18:00:00Z", "product": "a\\u0000"}', "control character", "product"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str, field: str | None) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text('{"type": "view", "at": "2026-01-31T18:00:00Z"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InvalidHistory, match=message) as caught:
        read_history(file, VOCABULARY)
    assert str(caught.value).startswith(f"{file}: line 2: ")
    assert caught.value.field == field


def test_a_missing_file_and_one_that_is_not_utf8_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidHistory, match="No such file"):
        read_history(tmp_path / "none.jsonl", VOCABULARY)
    file = tmp_path / "gbk.jsonl"
    file.write_bytes("\n亚麻".encode("gbk"))
    with pytest.raises(InvalidHistory, match=r"line 2: not UTF-8"):
        read_history(file, VOCABULARY)
