"""`hangtag batch` beside its own engine: a made-up catalogue is tagged, and the very requests that this came to are handed
straight to the engine, in turns. It knows how to count, and no option.

The engine alone has all requests from the beginning, so that it is never idle; what it does in a second more than a batch does is
what reading, candidates, prompts, answers and files cost.
"""

from __future__ import annotations

import asyncio
import csv
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from hangtag.files import save_json
from hangtag.vocabulary import TagVocabulary
from serve.batch import Batch, Wishes, journal_file
from serve.catalogue.journal import Journal
from serve.catalogue.plain import Columns, PlainLayout
from serve.catalogue.tables import open_table
from serve.engines.engine import Engine, Generation, GenerationRequest
from serve.suggester import Suggester

WORDS = {
    "en": ("classic", "everyday", "soft", "new", "light", "comfortable", "quality", "gift", "home", "travel", "great", "durable"),
    "zh": ("经典", "日常", "柔软", "新款", "轻便", "舒适", "优质", "送礼", "居家", "旅行", "耐用", "简约", "设计", "实用"),
}


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of one turn each, and how many tokens the engine wrote in its own."""

    batch_s: float
    engine_s: float
    tokens: int

    @property
    def ratio(self) -> float:
        """The batch's throughput as a share of the engine's."""
        return self.engine_s / self.batch_s


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, over `listings` rows."""

    listings: int
    rounds: tuple[Round, ...]

    @property
    def ratio(self) -> float:
        """The median over rounds."""
        return median(each.ratio for each in self.rounds)


class Recording:
    """An engine that keeps the requests that pass through it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests: list[GenerationRequest] = []

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        self.requests.append(request)
        return await self._engine.generate(request)

    async def close(self) -> None:
        """See `Engine`."""
        await self._engine.close()


def make_catalogue(vocabulary: TagVocabulary, languages: tuple[str, ...], count: int, path: Path) -> None:
    """`count` listings as CSV: each names some tags among other words, in one language after the other."""
    chance = random.Random(6)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "title", "description"))
        for number in range(count):
            language = languages[number % len(languages)]
            words = WORDS.get(language, WORDS["en"])
            labels = [tag.label(language) for tag in chance.sample(vocabulary.tags, min(4, len(vocabulary)))]
            space = "" if language == "zh" else " "
            description = (space.join([*chance.choices(words, k=chance.randint(3, 20)), label]) for label in labels[2:])
            stop = "。" if language == "zh" else ". "
            rows.writerow((number, space.join([*labels[:2], *chance.choices(words, k=2)]), stop.join(description)))


async def measure(
    suggester: Suggester,
    warm_up: Path,
    catalogue: Path,
    directory: Path,
    rounds: int,
    tick: Callable[[str], None],
    in_flight: int,
) -> Figures:
    """Both in turns, the batch first, `rounds` times; `tick` is told before each. Every batch begins anew in `directory`. The
    catalogue `warm_up` comes before, uncounted: what an engine does only once would be the first batch's alone."""
    engine, found = suggester.engine, []
    count = 0
    tick("warming up")
    await _batch(suggester, warm_up, directory / "warm-up-done.csv", in_flight)
    try:
        for number in range(rounds):
            tick(f"batch, round {number + 1}")
            recording = Recording(engine)
            suggester.engine = recording
            batch_s, count = await _batch(suggester, catalogue, directory / f"round-{number}.csv", in_flight)
            tick(f"the engine alone, round {number + 1}")
            begun = time.perf_counter()
            answers = await asyncio.gather(*map(engine.generate, recording.requests))
            engine_s = time.perf_counter() - begun
            found.append(Round(batch_s, engine_s, sum(len(answer.ids) for answer in answers)))
    finally:
        suggester.engine = engine
    return Figures(count, tuple(found))


def write_json(figures: Figures, about: dict[str, Any], path: Path) -> None:
    """All figures, whole or not at all. Raises `OutputError`."""
    content = about | {"listings": figures.listings, "ratio": figures.ratio, "rounds": list(_described(figures))}
    save_json(content, path)


def _described(figures: Figures) -> Iterator[dict[str, Any]]:
    for each in figures.rounds:
        yield {"batch_s": each.batch_s, "engine_s": each.engine_s, "tokens": each.tokens, "ratio": each.ratio}


async def _batch(suggester: Suggester, catalogue: Path, out: Path, in_flight: int) -> tuple[float, int]:
    """Seconds from the file to the file, and how many listings were tagged."""
    begun = time.perf_counter()
    table = open_table(catalogue)
    layout = PlainLayout(table, Columns.of(table), joined=True)
    with Journal.opened(journal_file(out)) as journal:
        batch = Batch(table, layout, out, journal, suggester, Wishes())
        batch.survey()
        await batch.ask(lambda: None, in_flight)
        result = batch.write()
    return time.perf_counter() - begun, result.tagged
