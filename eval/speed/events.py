"""How fast events go in and interests come out: a server of its own, asked over HTTP, and the store by itself. It knows what is
sent and how long that took.

Single events come at a fixed rate, however long the server takes, and a latency counts from when its request was due: a server
that falls behind can't hide it. Batches come one after the other on each connection.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from eval.speed.http import Connection
from eval.speed.server import served
from hangtag.bundle import Bundle
from hangtag.errors import EngineError
from hangtag.history import Event
from hangtag.vocabulary import TagVocabulary
from serve.store import Store, UserEvent

USERS = 1_000
TAGS = 3
BATCH = 100
READS = 500
CHECKED = 100
WARM_UP = 1.0
"""Seconds of requests before those that are measured: a server's first ones compile SQL."""

CONNECTIONS = 32
BATCH_CONNECTIONS = 2
LIKING = ("view", "view", "view", "like", "cart", "purchase")
TYPES = (*LIKING, "dislike")
TENANT = "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """Latencies in ms of `count` of something, and how many of it there were a second."""

    name: str
    count: int
    median: float
    p99: float
    most: float
    rate: float

    @classmethod
    def of(cls, name: str, seconds: Sequence[float], took: float, *, each: int = 1) -> Figure:
        """Of single latencies in seconds, in all `took`; `each` is how many things one of them was."""
        ms = 1000 * np.array(seconds)
        median, p99 = np.percentile(ms, [50, 99]).tolist()
        return cls(name, len(seconds) * each, median, p99, float(ms.max()), len(seconds) * each / took)


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures. `missed` of `checked` events were not in the profile right after they had been taken in; `error` is the
    largest relative error of the long history's weights, `exact_ms` how long they take from every event."""

    figures: tuple[Figure, ...]
    checked: int
    missed: int
    history: int
    tags: int
    error: float
    exact_ms: float


def measure(bundle: Path, store: str, *, rate: float, seconds: float, history: int, tell: Callable[[str], object]) -> Measured:
    """Measure a server of `bundle` that keeps its events in the database `store`, which should be empty: `rate` single events a
    second, each part for some `seconds`, and the interests of a user with a `history` of so many events."""
    vocabulary = Bundle.load(bundle).vocabulary
    chance = random.Random(0)
    tell("Starting a server")
    with served("--bundle", str(bundle), "--store", store) as (port, _):
        tell("Nothing but HTTP")
        idle, idle_s = asyncio.run(_at_rate(port, rate, seconds / 2, lambda: ("GET", "/healthz", None)))
        tell("Single events")
        single, single_s = asyncio.run(_at_rate(port, rate, seconds, lambda: _post(chance, vocabulary, 1)))
        tell("Batches")
        batches, took = asyncio.run(_in_turns(port, seconds, lambda: _post(chance, vocabulary, BATCH)))
        tell("Events that have to be seen at once")
        missed = asyncio.run(_missed(port, vocabulary))
    tell("A long history")
    reads, read_s, error, exact_s, tags = _long_history(store, vocabulary, chance, history)
    figures = (
        Figure.of("GET /healthz, for comparison", idle, idle_s),
        Figure.of("POST /v1/events, one event", single, single_s),
        Figure.of(f"POST /v1/events, {BATCH} events", batches, took, each=BATCH),
        Figure.of(f"profile of a user with {history:,} events", reads, read_s),
    )
    return Measured(figures, CHECKED, missed, history, tags, error, 1000 * exact_s)


def _events(chance: random.Random, vocabulary: TagVocabulary, count: int, types: Sequence[str] = TYPES) -> list[dict[str, Any]]:
    """Popular tags come often, as in shops: their ranks are distributed log-uniformly."""
    now = datetime.now(UTC)
    made = []
    for _ in range(count):
        ranks = {int(len(vocabulary) ** chance.random()) - 1 for _ in range(TAGS)}
        made.append(
            {
                "user": f"user-{chance.randrange(USERS)}",
                "type": chance.choice(types),
                "at": (now - timedelta(hours=chance.expovariate(1 / 1000))).isoformat(),
                "tags": [vocabulary.tags[rank].id for rank in sorted(ranks)],
                "idempotency_key": f"{chance.getrandbits(64):x}",
            }
        )
    return made


def _post(chance: random.Random, vocabulary: TagVocabulary, count: int) -> tuple[str, str, Any]:
    made = _events(chance, vocabulary, count)
    return "POST", "/v1/events", made[0] if count == 1 else {"events": made}


async def _told(connection: Connection, method: str, path: str, body: Any = None) -> Any:
    """The answer's JSON. Raises `EngineError` for anything but 200."""
    status, answer = await connection.ask(method, path, body)
    if status != 200:
        raise EngineError(f"the server answered {status}: {json.dumps(answer, ensure_ascii=False)}")
    return answer


async def _at_rate(port: int, rate: float, seconds: float, make: Callable[[], tuple[str, str, Any]]) -> tuple[list[float], float]:
    """The latencies of requests that are due at a fixed rate, after WARM_UP, and the seconds until all were answered: more than
    were given where the server does not keep up."""
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await Connection.open(port))
    unmeasured = int(rate * WARM_UP)
    requests = [make() for _ in range(unmeasured + int(rate * seconds))]
    latencies = [0.0] * len(requests)

    async def one(number: int, due: float) -> None:
        connection = await free.get()
        await _told(connection, *requests[number])
        latencies[number] = time.perf_counter() - due
        free.put_nowait(connection)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(len(requests)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(number, due))
    took = time.perf_counter() - begun - unmeasured / rate
    while not free.empty():
        free.get_nowait().close()
    return latencies[unmeasured:], took


async def _in_turns(port: int, seconds: float, make: Callable[[], tuple[str, str, Any]]) -> tuple[list[float], float]:
    """The latencies of requests one after the other on each connection, and how long it took in all."""
    latencies: list[float] = []
    requests = iter([make() for _ in range(int(100 * seconds))])
    begun = time.perf_counter()

    async def turns() -> None:
        connection = await Connection.open(port)
        for request in requests:
            sent = time.perf_counter()
            if sent - begun > seconds:
                break
            await _told(connection, *request)
            latencies.append(time.perf_counter() - sent)
        connection.close()

    await asyncio.gather(*(turns() for _ in range(BATCH_CONNECTIONS)))
    return latencies, time.perf_counter() - begun


async def _missed(port: int, vocabulary: TagVocabulary) -> int:
    """Of CHECKED users' first events, how many are not in what the user likes right after."""
    connection, missed = await Connection.open(port), 0
    for number in range(CHECKED):
        tag = vocabulary.tags[number % len(vocabulary)].id
        event = {"user": f"new-{number}", "type": "like", "at": datetime.now(UTC).isoformat(), "tags": [tag]}
        await _told(connection, "POST", "/v1/events", event)
        held = await _told(connection, "GET", f"/v1/users/new-{number}/export")
        missed += held["interests"].get(tag, 0.0) <= 0
    connection.close()
    return missed


def _long_history(
    store: str, vocabulary: TagVocabulary, chance: random.Random, history: int
) -> tuple[list[float], float, float, float, int]:
    """Latencies of reading the profile of so many events; how long that took in all; the largest relative error of a weight;
    how long the exact profile takes; how many tags it has."""
    kept = Store(store)
    for _ in range(0, history, BATCH):
        given = _events(chance, vocabulary, BATCH, LIKING)  # sums of one sign, so that relative errors say something
        made = [
            UserEvent("u", Event(each["type"], datetime.fromisoformat(each["at"]), tuple(each["tags"])), each["idempotency_key"])
            for each in given
        ]
        kept.add_events(TENANT, made)
    kept.profile(TENANT, "u", vocabulary)
    latencies = []
    begun = time.perf_counter()
    for _ in range(READS):
        asked = time.perf_counter()
        profile = kept.profile(TENANT, "u", vocabulary)
        latencies.append(time.perf_counter() - asked)
    took = time.perf_counter() - begun
    asked = time.perf_counter()
    exact = kept.exact_profile(TENANT, "u", vocabulary).weights
    exact_s = time.perf_counter() - asked
    profile = kept.profile(TENANT, "u", vocabulary)
    error = max(abs(profile.weights[tag] / weight - 1) for tag, weight in exact.items())
    kept.close()
    return latencies, took, error, exact_s, len(exact)
