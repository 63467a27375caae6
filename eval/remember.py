"""A memory of a corpus's training rows, built and fitted once, as a shop would have it. It knows training rows only: a test row
is never remembered.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from eval.baselines import Tick
from eval.corpus import Corpus
from eval.rows import Row
from eval.systems import training_hash
from hangtag.errors import InvalidMemory
from hangtag.files import save_json
from serve.candidates import Candidates
from serve.memory import Memory, fit

BUILDING = 0.1
"""Share of the time that building takes, for the bar; fitting takes the rest."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fitted memory, the hash of all that it says, and the seconds that making it took, in whichever run that was."""

    memory: Memory
    hash: str
    seconds: float


def remember(corpus: Corpus, candidates: Candidates, directory: Path, tick: Tick) -> Remembered:
    """The memory in a folder of `directory` that is named after what is remembered; one that an earlier run has fitted is opened,
    one that it left half made, or that another version made, is made again."""
    known = _hash_of(corpus)
    folder = directory / f"memory.{known[:12]}"
    finished = folder / "finished.json"
    if finished.exists():
        try:
            memory = Memory.open(folder, corpus.vocabulary)
        except InvalidMemory:
            pass
        else:
            tick(1.0)
            return _remembered(memory, known, json.loads(finished.read_text(encoding="utf-8"))["seconds"])
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    memory = Memory.build(_rows(corpus), corpus.vocabulary, folder)
    tick(BUILDING)
    fit(memory, candidates, lambda share: tick(BUILDING + (1 - BUILDING) * share))
    seconds = round(time.monotonic() - begun, 1)
    save_json({"seconds": seconds}, finished)
    return _remembered(memory, known, seconds)


def _remembered(memory: Memory, rows: str, seconds: float) -> Remembered:
    content = f"{rows}:{memory.trust.hash}"
    return Remembered(memory, hashlib.sha256(content.encode()).hexdigest(), seconds)


def _rows(corpus: Corpus) -> list[Row]:
    """The training rows with their tags by id: labels that were merged are one tag."""
    assert corpus.train is not None, "there is nothing to remember"
    ids = [tag.id for tag in corpus.vocabulary]
    pairs = zip(corpus.train.rows, corpus.training_gold, strict=True)
    return [replace(row, tags=tuple(ids[tag] for tag in gold)) for row, gold in pairs]


def _hash_of(corpus: Corpus) -> str:
    """Of what is remembered: what baselines learn from, and which rows are of one product."""
    assert corpus.train is not None
    names = [(row.listing.id, row.product_id) for row in corpus.train.rows]
    return hashlib.sha256(json.dumps([training_hash(corpus), names]).encode()).hexdigest()
