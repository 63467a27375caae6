"""`Journal`: what was answered so far, a line an answer in a file beside the catalogue, so that a run that ends at any moment
loses none and gives none twice. It knows keys and answers, no table and no model.

It stays when a catalogue is done: the next run finds there what is tagged already, and which tags of a product are hangtag's and
not the merchant's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hangtag.errors import InvalidData, OutputError
from hangtag.files import unwritable, whole
from hangtag.listing import Listing
from serve.catalogue.answer import Answer

FIRST_LINE = {"hangtag_journal": 1}


def key_of(system: Sequence[Any], listing: Listing) -> str:
    """Of all that decides an answer: what answers, and what is asked."""
    parts = (json.dumps(system), repr(listing))
    return "-".join(hashlib.sha256(part.encode()).hexdigest()[:20] for part in parts)


class Journal:
    """Answers by key, read from the file when they are needed; and by the id of an item the tags that hangtag gave it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._ours: dict[str, tuple[str, ...]] = {}
        self._latest: dict[str, str] = {}
        """The newest key of each id."""
        self._out = path.open("ab", buffering=0)  # nothing is left to be written when a write has failed
        self._in = path.open("rb")

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Journal]:
        """The journal in a file, which is made if it is missing. What an interruption cut off of the last line is removed. Raises
        `OutputError` (also where another process has it), `InvalidData` for a file that is no journal."""
        try:
            journal = cls(path)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            journal._lock()
            journal._load()
            yield journal
        finally:
            journal._in.close()
            journal._out.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def answer(self, key: str) -> Answer:
        """The answer with a key that is there."""
        self._in.seek(self._places[key])
        return Answer.read(json.loads(self._in.readline())["answer"])

    def ours(self, id: str) -> tuple[str, ...]:
        """The tags of an item that hangtag gave it and the merchant did not."""
        return self._ours.get(id, ())

    def append(self, key: str, id: str, answer: Answer, ours: Sequence[str] = ()) -> None:
        """Keep an answer. Raises `OutputError`."""
        line = {"key": key, "id": id, "ours": list(ours), "answer": answer.values()}
        data = json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        place = self._out.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._out.write(data) :]
        except OSError as error:
            with suppress(OSError):
                self._out.truncate(place)
            raise unwritable(self.path, error) from error
        self._note(key, id, ours, place)

    def tidy(self, current: Collection[str]) -> None:
        """Forget answers that neither have a `current` key nor are the newest of their item. Raises `OutputError`."""
        kept = {*self._latest.values(), *current}
        places = sorted(place for key, place in self._places.items() if key in kept)
        if len(places) == len(self._places):
            return
        with whole(self.path) as partial, partial.open("wb") as file:
            file.write(_first_line())
            for place in places:
                self._in.seek(place)
                file.write(self._in.readline())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"{self.path}: another hangtag is at work on it; wait until it is done") from error

    def _load(self) -> None:
        place = 0
        for number, line in enumerate(self._in, start=1):
            if line.endswith(b"\n") or number == 1:
                self._read(line, number, place)
            if line.endswith(b"\n"):
                place += len(line)
        try:
            self._out.truncate(place)
            if place == 0:
                self._out.write(_first_line())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _read(self, line: bytes, number: int, place: int) -> None:
        try:
            if number == 1:
                if not _first_line().startswith(line):
                    raise ValueError("its first line says something else")
                return
            given = json.loads(line)
            key, id, ours = str(given["key"]), str(given["id"]), [str(tag) for tag in given["ours"]]
            Answer.read(given["answer"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidData(f"{self.path}: line {number}: no journal of this version; move the file away") from error
        self._note(key, id, ours, place)

    def _note(self, key: str, id: str, ours: Sequence[str], place: int) -> None:
        self._places[key] = place
        if id:
            self._latest[id] = key
            self._ours[id] = tuple(ours)


def _first_line() -> bytes:
    return json.dumps(FIRST_LINE).encode() + b"\n"
