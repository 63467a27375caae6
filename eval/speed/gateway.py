"""What the gateway costs: an HTTP server with an engine of fixed latency, and callers beside it who ask again as soon as they are
answered. It knows times, statuses and memory; no model runs.

Server and callers are processes of their own. What is added is what a caller waits beyond the engine's latency, so that the way
through both ends of HTTP is in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop

from eval.speed.memory import Shop
from eval.speed.server import growth
from eval.speed.tokenizers import INSTALL
from hangtag.answer import Answer
from hangtag.bundle import Bundle
from hangtag.errors import InvalidSettings
from hangtag.files import save_json
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from serve.candidates import Candidates
from serve.compiling import shared_languages
from serve.engines.engine import Generation, GenerationRequest
from serve.memory import Memory
from serve.suggester import Suggester
from serve.tokenizer import load_tokenizer

TAGS_OF_ANSWER = 5
WARM_UP = 0.2
"""Share of the time that is not counted, at the beginning."""

SECONDS_TO_START = 120.0
SAMPLE_SECONDS = 1.0
"""How often the server's memory is looked at."""


class FixedEngine:
    """Answers with the same tags after the same time."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._written: dict[str, tuple[int, ...]] = {}

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        await asyncio.sleep(self._latency)
        ids = self._written.get(request.codec.compiled.hash)
        if ids is None:  # once: what an engine takes besides its latency is not the gateway's
            ids = tuple(request.codec.write(Answer(tuple(range(TAGS_OF_ANSWER)), "")))
            self._written[request.codec.compiled.hash] = ids
        return Generation(ids, (-0.1,) * len(ids), ids)

    async def close(self) -> None:
        """Holds nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: `callers` at once for `seconds`, an engine that takes `latency` seconds, and `remembered` listings."""

    callers: int
    latency: float
    seconds: float
    remembered: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a case. `added_ms` are what callers waited beyond the engine's latency; `cpu_ms` is what the processor spent
    on an answer; `megabytes` is the server's memory over time."""

    case: Case
    answers_per_second: float
    cpu_ms: float
    added_ms: Sequence[float]
    statuses: dict[int, int]
    megabytes: Sequence[float] = field(default_factory=tuple)

    def added(self, percentile: float) -> float:
        """Milliseconds at a percentile."""
        return float(np.percentile(self.added_ms, percentile))

    @property
    def growth(self) -> float:
        """See `eval.speed.server`."""
        return growth(self.megabytes)


def run(bundle: Path, cases: Sequence[Case], tick: Callable[[Case], None] = lambda case: None) -> Iterator[Load]:
    """One case after the other, each with a server of its own. Raises `InvalidSettings` without psutil."""
    if find_spec("psutil") is None:
        raise InvalidSettings(f"not installed: psutil; say {INSTALL}")
    shop = Shop()
    listings = [made.listing for made in shop.listings(10**6, 10**6 + 500)]
    for case in cases:
        tick(case)
        with TemporaryDirectory() as folder:
            memory = Path(folder) / "memory" if case.remembered else None
            if memory is not None:
                _remember(shop, Bundle.load(bundle).vocabulary, case.remembered, memory)
            with _served(bundle, case.latency, memory) as (port, process):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # callers are not what is measured
                    load = runner.run(_load(case, port, listings, process))
                yield load


def _remember(shop: Shop, vocabulary: TagVocabulary, count: int, directory: Path) -> None:
    """Made-up listings under tags of a vocabulary."""

    @dataclass(frozen=True, slots=True)
    class Row:
        listing: Listing
        tags: tuple[str, ...]
        product_id: str = ""

    chance = np.random.default_rng(1)
    tags = chance.integers(0, len(vocabulary), (count, 3)).tolist()
    rows = (
        Row(made.listing, tuple(dict.fromkeys(vocabulary.tags[tag].id for tag in given)))
        for made, given in zip(shop.listings(0, count), tags, strict=True)
    )
    Memory.build(rows, vocabulary, directory)


@contextmanager
def _served(bundle: Path, latency: float, memory: Path | None) -> Iterator[tuple[int, Any]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, bundle, latency, memory), daemon=True)
    process.start()
    try:
        if not ours.poll(SECONDS_TO_START):
            raise TimeoutError("the server did not start")
        from psutil import Process  # type: ignore[import-untyped]

        yield ours.recv(), Process(process.pid)
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, directory: Path, latency: float, memory: Path | None) -> None:
    import uvicorn

    from serve.app import create_app
    from serve.state import Services

    bundle = Bundle.load(directory)
    vocabulary = bundle.vocabulary
    remembered = Memory.open(memory, vocabulary) if memory is not None else None
    suggester = Suggester(
        bundle, vocabulary, load_tokenizer(bundle), FixedEngine(latency), Candidates(vocabulary), memory=remembered
    )
    for language in shared_languages(bundle, vocabulary):
        suggester.codec(language)
    # said to be TCP, or asyncio takes it for something else and leaves answers to be held back (Nagle's algorithm)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(2048)
    told.send(listening.getsockname()[1])
    config = uvicorn.Config(create_app(Services(suggester)), log_config=None)
    gc.collect()
    gc.freeze()  # as `hangtag serve` does
    uvicorn.Server(config).run(sockets=[listening])


async def _load(case: Case, port: int, listings: Sequence[Listing], process: Any) -> Load:
    """Asks a server with all callers at once."""
    asked_of = [{"title": each.title, "description": each.description, "explain": False} for each in listings]
    bodies = [json.dumps(body).encode() for body in asked_of]
    begun = time.perf_counter()
    counted, until = begun + WARM_UP * case.seconds, begun + case.seconds
    waited: list[float] = []
    statuses: Counter[int] = Counter()
    megabytes: list[float] = []

    async def call(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(case.latency * number / case.callers)  # callers do not march in step
        while (asked := time.perf_counter()) < until:
            number += case.callers
            body = bodies[number % len(bodies)]
            writer.write(
                b"POST /v1/suggestions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: "
                + str(len(body)).encode()
                + b"\r\n\r\n"
                + body
            )
            status = await _answered(reader)
            answered = time.perf_counter()
            if asked >= counted:
                statuses[status] += 1
                waited.append(answered - asked)
        writer.close()

    async def count() -> float:
        await asyncio.sleep(counted - time.perf_counter())
        return _cpu_seconds(process)

    async def watch() -> None:
        while time.perf_counter() < until:
            megabytes.append(process.memory_info().rss / 1e6)
            await asyncio.sleep(SAMPLE_SECONDS)

    before, *_ = await asyncio.gather(count(), watch(), *map(call, range(case.callers)))
    assert before is not None, "it was counted"
    cpu = 1000 * (_cpu_seconds(process) - before) / len(waited)
    added = [1000 * (seconds - case.latency) for seconds in waited]
    return Load(case, len(waited) / (until - counted), cpu, added, dict(statuses), megabytes)


def _cpu_seconds(process: Any) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _answered(reader: asyncio.StreamReader) -> int:
    """The status of an answer, which is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    return int(head.split(" ", 2)[1])


def write_json(loads: Sequence[Load], path: Path) -> None:
    """All figures."""
    rows: list[dict[str, Any]] = [
        {
            "callers": load.case.callers,
            "latency_s": load.case.latency,
            "remembered": load.case.remembered,
            "seconds": load.case.seconds,
            "answers_per_second": load.answers_per_second,
            "cpu_ms": load.cpu_ms,
            "added_ms": {str(percentile): load.added(percentile) for percentile in (50, 90, 99)},
            "statuses": load.statuses,
            "megabytes": list(load.megabytes),
        }
        for load in loads
    ]
    save_json(rows, path)
