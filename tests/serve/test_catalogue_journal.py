"""The journal: whatever moment it is cut off at, what was kept whole is there, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hangtag.errors import InvalidData, OutputError
from hangtag.listing import Listing
from serve.catalogue.answer import Answer, GivenTag
from serve.catalogue.journal import FIRST_LINE, Journal, key_of


def answer(explanation: str) -> Answer:
    return Answer((GivenTag("material/linen", "亚麻", 0.25, auto=True),), explanation, "model@1", ("cut",))


def test_answers_are_there_at_once_and_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal.opened(path) as journal:
        journal.append("k1", "1", answer("first\u2028行"), ("Linen",))
        journal.append("k2", "", answer("second"))
        assert journal.answer("k1") == answer("first\u2028行")
        journal.append("k3", "1", answer("third"), ("Linen", "Silk"))
    with Journal.opened(path) as journal:
        assert [key in journal for key in ("k1", "k2", "k3", "k4")] == [True, True, True, False]
        assert [journal.answer(key).explanation for key in ("k3", "k1", "k2")] == ["third", "first\u2028行", "second"]
        assert (journal.ours("1"), journal.ours(""), journal.ours("2")) == (("Linen", "Silk"), (), ())


def test_cut_off_at_any_byte_it_has_what_was_whole_and_goes_on(tmp_path: Path) -> None:
    path, cut = tmp_path / "j", tmp_path / "cut"
    with Journal.opened(path) as journal:
        for number in range(3):
            journal.append(f"k{number}", str(number), answer("原因" * number))
    data = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    for size in range(len(data) + 1):
        cut.write_bytes(data[:size])
        with Journal.opened(cut) as journal:
            assert len(journal) == max(0, sum(end <= size for end in ends) - 1)
            journal.append("new", "9", answer("new"))
        lines = cut.read_bytes().splitlines()
        assert json.loads(lines[0]) == FIRST_LINE
        assert [json.loads(line)["key"] for line in lines[1:]][-1] == "new"


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for content, line in [(b"precious", 1), (b"precious\n", 1), (json.dumps(FIRST_LINE).encode() + b"\n{}\n", 2)]:
        path.write_bytes(content)
        with (
            pytest.raises(InvalidData, match=f"line {line}: no journal of this version; move the file away"),
            Journal.opened(path),
        ):
            pass
        assert path.read_bytes() == content


def test_two_can_not_be_at_work_on_one(tmp_path: Path) -> None:
    with (
        Journal.opened(tmp_path / "j"),
        pytest.raises(OutputError, match="another hangtag is at work"),
        Journal.opened(tmp_path / "j"),
    ):
        pass
    with pytest.raises(OutputError, match="can't be written: Not a directory"), Journal.opened(tmp_path / "j" / "j"):
        pass


def test_tidying_keeps_what_is_current_and_the_newest_of_each_item(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal.opened(path) as journal:
        for key, id in [("old", "1"), ("new", "1"), ("gone", ""), ("here", ""), ("away", "2")]:
            journal.append(key, id, answer(key), (key,))
        journal.tidy({"new", "here"})
    with Journal.opened(path) as journal:
        assert [key in journal for key in ("old", "new", "gone", "here", "away")] == [False, True, False, True, True]
        assert journal.answer("here").explanation == "here"
        assert journal.ours("2") == ("away",)
        before = path.read_bytes()
        journal.tidy({"new", "here"})
        assert path.read_bytes() == before


def test_keys_tell_apart_whatever_decides_an_answer() -> None:
    shirt = Listing("Shirt", id="1")
    keys = [
        key_of(["a", 1], shirt),
        key_of(["a", 2], shirt),
        key_of(["a", 1], Listing("Shirt", id="2")),
        key_of(["a", 1], Listing("Shirt", attributes=(("a", "b"),), id="1")),
    ]
    assert len(set(keys)) == 4
    assert keys[0] == key_of(["a", 1], Listing("Shirt", id="1"))


FULL = """
import resource, sys
from pathlib import Path
from hangtag.errors import OutputError
from serve.catalogue.answer import Answer, GivenTag
from serve.catalogue.journal import Journal
from tests.serve.test_catalogue_journal import answer
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
with Journal.opened(Path(sys.argv[1])) as journal:
    for number in range(100):
        try:
            journal.append(f"k{number}", str(number), answer("x" * 50))
        except OutputError as error:
            print(number, error)
            break
    journal.append("small", "", answer(""))
"""


def test_a_full_disk_is_said_and_what_was_kept_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    number, _, message = done.stdout.partition(" ")
    assert "can't be written: File too large; make room" in message, done.stderr
    with Journal.opened(path) as journal:
        kept = [f"k{each}" in journal for each in range(int(number) + 1)]
        assert kept == [True] * int(number) + [False]
        assert int(number) > 3
        assert all(journal.answer(f"k{each}").explanation == "x" * 50 for each in range(int(number)))
