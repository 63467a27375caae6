"""Many callers against a server as it is run, while adapters come and go: how many answers a second, whether one is dropped or
wrong, and what becomes of the server's memory. It knows HTTP and what an answer must be, no engine.

The server is `hangtag serve` in a process of its own, on loopback; every caller has a connection and asks again as soon as it is
answered. Every fourth names the adapter that was loaded last. Adapters are taken away while requests that named them are on
their way.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eval.speed.answers import AnswerCheck
from eval.speed.http import Connection
from eval.speed.memory import Shop
from eval.speed.server import growth, served
from eval.speed.tokenizers import INSTALL
from hangtag.bundle import MANIFEST, Bundle
from hangtag.errors import EngineError, InvalidSettings
from hangtag.files import save_json
from hangtag.vocabulary import TagVocabulary

FIRST = 0.5
"""Of the time of a number of callers, as long as the largest of them asks before all: a server compiles what it needs, fills its
caches, and takes the memory for them."""

WARM_UP = 0.2
"""Share of the time that is not counted, at the beginning."""

NAMING = 4
"""Of so many callers one names an adapter."""

ALTERNATING = 2
"""Adapters that are loaded in turns."""

REST_SECONDS = 1.0
"""Between an adapter's coming and the going of the one before, and again before the next: until then requests that name it have
been taken in."""

SAMPLE_SECONDS = 1.0
"""How often the server's memory is looked at."""

OURS = ("HANGTAG_HOST", "HANGTAG_PORT", "HANGTAG_KEYS", "HANGTAG_RATE", "HANGTAG_ADAPTERS", "HANGTAG_MEMORY", "HANGTAG_STORE")
"""Settings that are not taken from the environment."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`callers` in turn, for `seconds` each, after a warm-up. `adapters`, whether they come and go; `explains`, whether answers
    have reasons; `options` are further ones of `hangtag serve`."""

    bundle: Path
    callers: Sequence[int] = (128, 500)
    seconds: float = 120.0
    adapters: bool = True
    explains: bool = True
    options: Sequence[str] = ()


@dataclass(slots=True)
class Load:
    """What came of so many callers. `statuses` counts answers by status, "none" where a connection broke; `wrong` says what was
    wrong with an answer, and how often; `waited` are seconds; `changes` are adapters loaded and taken away, and `refused` what
    was said instead; `megabytes` is the memory of the server and its children over time."""

    callers: int
    seconds: float
    answers: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    loaded: int = 0
    unloaded: int = 0
    refused: list[str] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second, after the warm-up."""
        return self.answers / (self.seconds * (1 - WARM_UP))

    def percentile(self, share: float) -> float:
        """Seconds that a caller waited."""
        return float(np.percentile(self.waited, share)) if self.waited else float("nan")

    @property
    def growth(self) -> float:
        """See `eval.speed.server`."""
        return growth(self.megabytes)

    @property
    def is_flawless(self) -> bool:
        """Whether every request was answered, rightly, and every adapter came and went."""
        return set(self.statuses) == {"200"} and not self.wrong and not self.refused


def run(plan: Plan, tick: Callable[[str], None] = lambda what: None) -> Iterator[Load]:
    """One number of callers after the other, all with the same server. Raises `InvalidSettings` without psutil, `EngineError` for
    a server that does not start."""
    if find_spec("psutil") is None:
        raise InvalidSettings(f"not installed: psutil; say {INSTALL}")
    bundle = Bundle.load(plan.bundle)
    with TemporaryDirectory(prefix="hangtag-load-") as folder:
        bundles = Path(folder) / "bundles"
        bundles.mkdir()
        names = [copied(bundle, bundles / f"load-{number}", f"load-{number}") for number in range(ALTERNATING)]
        tick("starting a server")
        with _served(plan, bundles) as (port, process):
            tick("warming up")
            first = replace(plan, seconds=FIRST * plan.seconds)  # by the fewest: no prompt comes from the cache yet
            warm = asyncio.run(_load(first, bundle.vocabulary, min(plan.callers), port, process, names if plan.adapters else []))
            if not warm.is_flawless:
                found = {**warm.statuses, **warm.wrong, **dict.fromkeys(warm.refused, 1)}
                raise EngineError(f"not all was well in the warm-up: {json.dumps(found, ensure_ascii=False)}")
            for callers in plan.callers:
                tick(f"{callers} callers")
                yield asyncio.run(_load(plan, bundle.vocabulary, callers, port, process, names if plan.adapters else []))


def copied(bundle: Bundle, directory: Path, version: str) -> str:
    """A copy of a bundle under another version; gives its name as a server calls it. Weights are linked where they can be."""

    def linked(source: str, copy: str) -> str:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copy2(source, copy)
        return copy

    shutil.copytree(bundle.directory, directory, copy_function=linked)
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    (directory / MANIFEST).unlink()  # it may be the bundle's own
    (directory / MANIFEST).write_text(json.dumps({**manifest, "version": version}), encoding="utf-8")
    return f"{bundle.name}@{version}"


@contextmanager
def _served(plan: Plan, bundles: Path) -> Iterator[tuple[int, Any]]:
    from psutil import Process  # type: ignore[import-untyped]

    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    if plan.adapters:
        environment["HANGTAG_BUNDLES"] = str(bundles)
    with served("--store", "none", "--bundle", str(plan.bundle), *plan.options, environment=environment) as (port, process):
        yield port, Process(process)


async def _load(plan: Plan, vocabulary: TagVocabulary, callers: int, port: int, process: Any, names: Sequence[str]) -> Load:
    load = Load(callers, plan.seconds)
    check = AnswerCheck(vocabulary)
    listings = [made.listing for made in Shop().listings(10**6, 10**6 + 500)]
    bodies = [{"title": each.title, "description": each.description, "explain": plan.explains} for each in listings]
    begun = time.perf_counter()
    counted, until = begun + WARM_UP * plan.seconds, begun + plan.seconds
    current: list[str] = []
    """The adapter that callers name; empty where there is none."""

    async def call(number: int) -> None:
        connection = await Connection.open(port)
        naming = number % NAMING == 0
        while (asked := time.perf_counter()) < until:
            number += callers
            body: dict[str, Any] = bodies[number % len(bodies)]
            named = {"adapter": current[0]} if naming and current else {}
            try:
                status, answer = await connection.ask("POST", "/v1/suggestions", {**body, **named})
            except (OSError, EOFError):
                load.statuses["none"] += 1
                connection = await Connection.open(port)
                continue
            answered = time.perf_counter()
            load.statuses[str(status)] += 1
            if status == 200:
                load.wrong.update(check(body, answer, named.get("adapter")))
                if counted <= answered <= until:
                    load.answers += 1
                    load.waited.append(answered - asked)
        connection.close()

    async def operate() -> None:
        """Adapters come, are named, and go while requests that named them are on their way."""
        connection = await Connection.open(port)
        number, before = 0, None
        while names and time.perf_counter() < until:
            bundle, name = f"load-{number % len(names)}", names[number % len(names)]
            load.loaded += await _told(load, connection, 201, "POST", "/v1/adapters", {"bundle": bundle})
            current[:] = [name]
            await asyncio.sleep(REST_SECONDS)
            if before is not None:
                load.unloaded += await _told(load, connection, 204, "DELETE", f"/v1/adapters/{before}")
                await asyncio.sleep(REST_SECONDS)
            number, before = number + 1, name
        current.clear()
        if before is not None:
            load.unloaded += await _told(load, connection, 204, "DELETE", f"/v1/adapters/{before}")
        connection.close()

    async def watch() -> None:
        while time.perf_counter() < until:
            load.megabytes.append(_megabytes(process))
            await asyncio.sleep(SAMPLE_SECONDS)

    await asyncio.gather(operate(), watch(), *map(call, range(callers)))
    return load


async def _told(load: Load, connection: Connection, wanted: int, method: str, path: str, body: Any = None) -> int:
    """1 where a server did what it was told, 0 where it refused."""
    status, answer = await connection.ask(method, path, body)
    if status != wanted:
        load.refused.append(f"{method} {path}: {status} {json.dumps(answer, ensure_ascii=False)}")
    return int(status == wanted)


def _megabytes(process: Any) -> float:
    """Of a process and its children, without what they share counted twice where the system says it (PSS)."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with suppress(Exception):  # it ended meanwhile
            total += one.memory_full_info().pss
    return total / 1e6


def write_json(loads: Sequence[Load], about: Mapping[str, Any], path: Path) -> None:
    """All figures."""
    rows = [
        {
            "callers": load.callers,
            "seconds": load.seconds,
            "answers": load.answers,
            "answers_per_second": load.rate,
            "statuses": dict(load.statuses),
            "wrong": dict(load.wrong),
            "waited_s": {str(share): load.percentile(share) for share in (50, 90, 99)},
            "adapters": {"loaded": load.loaded, "unloaded": load.unloaded, "refused": load.refused},
            "megabytes": load.megabytes,
        }
        for load in loads
    ]
    save_json({**about, "loads": rows}, path)
