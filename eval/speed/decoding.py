"""Decoding engines against each other: every engine in a process of its own, taking turns on the same tags and answers, so that
what disturbs the machine disturbs them all. It knows when to stop one that takes too long, and not what they measure.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from eval.speed.tags import FEWEST_TAGS, MOST_TAGS
from eval.speed.tokenizers import INSTALL, TOKENIZERS
from eval.speed.worker import ENGINES, Figures, serve
from hangtag.errors import InvalidSettings
from hangtag.files import save_json

REFERENCE = "llguidance"
COMPILING = ("prepare", "cold")
EVERY_ROUND = (*COMPILING, "warm", "batch")
FIRST_ROUND = (*EVERY_ROUND, "logits")
SLOW_TO_COMPILE = 5.0
"""Seconds from which on a vocabulary is compiled in the first round only."""
SECONDS_TO_START, SECONDS_TO_END = 300.0, 2.0
"""How long a process may take to import what it needs, which is nobody's merit or fault, and to go."""
PACKAGES = ("torch", "numpy", "llguidance", "xgrammar", "outlines-core", "mistral-common")
_MODULES = {"llguidance": "llguidance", "xgrammar": "xgrammar", "outlines-core": "outlines_core"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. `rows` are those of a batch, `limit` the seconds that one measurement of one engine may take. Raises
    `InvalidSettings` for names that don't exist, sizes that can't be made, and packages that are not installed."""

    sizes: Sequence[int]
    bundle: Path
    engines: Sequence[str] = ENGINES
    tokenizers: Sequence[str] = TOKENIZERS
    rows: int = 256
    rounds: int = 5
    limit: float = 120.0

    def __post_init__(self) -> None:
        for what, given, known in (("engine", self.engines, ENGINES), ("tokenizer", self.tokenizers, TOKENIZERS)):
            for name in given:
                if name not in known:
                    raise InvalidSettings(f"there is no {what} {name!r}; there are: {', '.join(known)}", field=f"{what}s")
        for size in self.sizes:
            if not FEWEST_TAGS <= size <= MOST_TAGS:
                raise InvalidSettings(f"a size is {size:,}; it must be between {FEWEST_TAGS} and {MOST_TAGS:,}", field="sizes")
        needed = [name for name in self.engines if name in _MODULES and find_spec(_MODULES[name]) is None]
        needed += ["mistral-common"] if "tekken" in self.tokenizers and find_spec("mistral_common") is None else []
        if needed:
            raise InvalidSettings(f"not installed: {', '.join(needed)}; say {INSTALL}, or leave out what needs them")

    @property
    def measurements(self) -> int:
        """How many there are if no engine has to be stopped."""
        cases = len(self.tokenizers) * len(self.sizes) * len(self.engines)
        return cases * (len(FIRST_ROUND) + (self.rounds - 1) * len(EVERY_ROUND))


@dataclass(slots=True)
class Row:
    """The figures of one engine for one tokenizer and size, one for each round; `note` says why there are no more."""

    tokenizer: str
    size: int
    engine: str
    rounds: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    def add(self, figures: Figures) -> None:
        for name, value in figures.items():
            self.rounds.setdefault(name, []).append(value)

    def figure(self, name: str) -> float | None:
        """The median over the rounds; of memory the first round's, since later ones stand on what earlier ones left."""
        values = self.rounds.get(name)
        if not values:
            return None
        return values[0] if name.endswith("memory_bytes") else median(values)


def ratio(rows: Sequence[Row], row: Row, name: str) -> float | None:
    """A figure of `row` as a share of the reference engine's for the same tokenizer and size."""
    same = (other for other in rows if (other.tokenizer, other.size, other.engine) == (row.tokenizer, row.size, REFERENCE))
    return _share(row, next(same, None), name)


def growth(rows: Sequence[Row], row: Row, name: str) -> float | None:
    """A figure of `row` as a multiple of the same engine's with the fewest tags."""
    same = [other for other in rows if (other.tokenizer, other.engine) == (row.tokenizer, row.engine)]
    return _share(row, min(same, key=lambda other: other.size), name)


def _share(row: Row, other: Row | None, name: str) -> float | None:
    value, base = row.figure(name), other.figure(name) if other is not None else None
    return value / base if value is not None and base else None


def run(plan: Plan, report: Callable[[str], None]) -> Iterator[list[Row]]:
    """Measure; gives the rows of each tokenizer and size when they are done. `report` is told before each measurement."""
    for tokenizer, size in product(plan.tokenizers, plan.sizes):
        rows = [Row(tokenizer, size, engine) for engine in plan.engines]
        with ExitStack() as stack:
            workers = [stack.enter_context(_Worker.started(plan, row)) for row in rows]
            for number in range(plan.rounds):
                for measurement in FIRST_ROUND if number == 0 else EVERY_ROUND:
                    for worker in workers:
                        report(f"{tokenizer}, {size:,} tags, {worker.row.engine}: {measurement}")
                        worker.measure(measurement, anew=number > 0)
        yield rows


class _Worker:
    """The process of one row."""

    def __init__(self, plan: Plan, row: Row) -> None:
        context = multiprocessing.get_context("spawn")
        self.row = row
        self._limit = plan.limit
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, row.engine, row.tokenizer, plan.bundle, row.size, plan.rows), daemon=True
        )

    @classmethod
    @contextmanager
    def started(cls, plan: Plan, row: Row) -> Iterator[_Worker]:
        worker = cls(plan, row)
        worker._process.start()
        try:
            worker._receive("start", SECONDS_TO_START)
            yield worker
        finally:
            worker._stop()

    def _stop(self) -> None:
        with suppress(OSError):
            self._connection.send(None)
        self._process.join(SECONDS_TO_END)
        self._process.kill()
        self._process.join()

    def measure(self, measurement: str, *, anew: bool) -> None:
        """Take one measurement, unless the engine was stopped or compiles too slowly to do it `anew`."""
        slow = self.row.rounds.get("ready_s", [0.0])[0] > SLOW_TO_COMPILE
        if not self.row.note and not (anew and slow and measurement in COMPILING):
            self._connection.send(measurement)
            self._receive(measurement, self._limit)

    def _receive(self, measurement: str, limit: float) -> None:
        try:
            answered = self._connection.poll(limit)
            figures = self._connection.recv() if answered else f"stopped: {measurement} took more than {limit:g} s"
        except (EOFError, OSError):
            figures = f"its process ended in {measurement}"
        if isinstance(figures, str):
            self.row.note = figures
            self._process.kill()
        else:
            self.row.add(figures)


def write_json(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """All figures, medians and ratios, whole or not at all."""
    content = {"machine": _machine(), "plan": _described(plan), "rows": [_row(rows, row) for row in rows]}
    save_json(content, path)


def _row(rows: Sequence[Row], row: Row) -> dict[str, Any]:
    return {
        "tokenizer": row.tokenizer,
        "tags": row.size,
        "engine": row.engine,
        "note": row.note,
        "figures": {name: row.figure(name) for name in row.rounds},
        f"to_{REFERENCE}": {name: ratio(rows, row, name) for name in row.rounds},
        "to_fewest_tags": {name: growth(rows, row, name) for name in row.rounds},
        "rounds": row.rounds,
    }


def _described(plan: Plan) -> dict[str, Any]:
    return {"sizes": list(plan.sizes), "rows": plan.rows, "rounds": plan.rounds, "limit_s": plan.limit}


def _machine() -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), "packages": versions}
