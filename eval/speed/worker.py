"""One engine in a process of its own, which does one measurement each time it is told to. It knows clocks and memory, no other
engine, so that several workers can take turns and one that takes too long can be stopped.

An answer is walked with the tokens given: what is timed is filling the packed mask and accepting the token. That the mask lets
the token through is checked outside the clock; where it does not, the measurement fails.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns

import numpy as np
import torch
from numpy.typing import NDArray

from eval.speed.engine import SAMPLES, Batch, MaskEngine, Matcher, Task
from eval.speed.tokenizers import load_tokenizer
from hangtag.errors import EngineError

Figures = dict[str, float]
SECONDS_A_WALK, SECONDS_A_BATCH = 0.3, 0.5
"""A measurement goes on for at least as long, so that fast engines are not lost in the clock's noise."""
FEWEST_STEPS = 8
ENGINES = ("hangtag", "hangtag-tensor", "llguidance", "xgrammar", "outlines-core")


def make_engine(name: str, task: Task) -> MaskEngine:
    """One of ENGINES; imports what that one needs."""
    if name == "hangtag":
        from eval.speed.ours import ScalarHangtag

        return ScalarHangtag(task)
    if name == "hangtag-tensor":
        from eval.speed.tensors import TensorHangtag

        return TensorHangtag(task)
    from eval.speed.peers import LlGuidance, OutlinesCore, XGrammar

    peers: dict[str, Callable[[Task], MaskEngine]] = {
        "llguidance": LlGuidance,
        "xgrammar": XGrammar,
        "outlines-core": OutlinesCore,
    }
    return peers[name](task)


class Worker:
    """The measurements of one engine for one tokenizer and size. Times are in µs, of one row; memory in bytes."""

    def __init__(self, engine: MaskEngine, task: Task, rows: int) -> None:
        self._engine = engine
        self._task = task
        self._rows = rows
        self._answers: list[list[int]] = []
        self._matchers: list[Matcher] = []
        self._logits: torch.Tensor | None = None
        for made in (task.labels, task.samples):  # before memory is measured
            assert made
        gc.collect()
        self._memory = resident_bytes()

    def prepare(self) -> Figures:
        """Compile the vocabulary anew."""
        self._matchers = []
        prepared = self._engine.prepare()
        figures = {"ready_s": prepared.ready, "memory_bytes": resident_bytes() - self._memory}
        self._answers = self._engine.answers()
        if prepared.tokenising is not None:
            figures["tokenising_s"] = prepared.tokenising
        if prepared.bytes is not None:
            figures["array_bytes"] = prepared.bytes
        return figures

    def cold(self) -> Figures:
        """The first walk of every answer, each by a request of its own; and what a new request costs."""
        words = np.zeros((SAMPLES, self._task.mask_words), np.int32)
        steps, opened = [], []
        for number, answer in enumerate(self._answers):
            start = perf_counter_ns()
            matcher = self._engine.open(number, words[number])
            opened.append(perf_counter_ns() - start)
            self._matchers.append(matcher)
            steps += _walk(matcher, answer)
        return {"request_us": median(opened) / 1e3, **_spread("cold", steps)}

    def warm(self) -> Figures:
        """Later walks of the same answers by the same requests."""
        steps: list[int] = []
        while sum(steps) < SECONDS_A_WALK * 1e9:
            for matcher, answer in zip(self._matchers, self._answers, strict=True):
                matcher.restart()
                steps += _walk(matcher, answer)
        return {**_spread("warm", steps), "warm_memory_bytes": resident_bytes() - self._memory}

    def batch(self) -> Figures:
        """`rows` answers at once, each at another place, as continuous batching has them; a finished row begins another."""
        times = {}
        for way in self._engine.ways:
            times[way] = _run(self._engine.batch(way, self._numbers()), self._answers, self._numbers())
        return {"batch_us": min(times.values()), **{f"batch_us, {way}": time for way, time in times.items()}}

    def logits(self) -> Figures:
        """Masking the logits of `rows` rows, once each is at the start of its answer."""
        batch = self._engine.batch(self._engine.ways[0], self._numbers())
        batch.fill()
        if self._logits is None:
            self._logits = torch.zeros(self._rows, self._task.tokenizer.size)
        batch.apply(self._logits)
        times = []
        for _ in range(3):
            start = perf_counter_ns()
            batch.apply(self._logits)
            times.append((perf_counter_ns() - start) / self._rows / 1e3)
        return {"logits_us": median(times)}

    def _numbers(self) -> list[int]:
        return [row % SAMPLES for row in range(self._rows)]


def serve(connection: Connection, name: str, tokenizer: str, bundle: Path, size: int, rows: int) -> None:
    """A worker's life: says that it is there, then does what it is told, until it is told None."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no processes of its own, which would outlive this one
    try:
        task = Task(load_tokenizer(tokenizer, bundle), size)
        start = perf_counter()
        engine = make_engine(name, task)
        worker = Worker(engine, task, rows)
        connection.send({"tokenizer_s": perf_counter() - start})
        while (measurement := connection.recv()) is not None:
            with _undisturbed():
                connection.send(getattr(worker, measurement)())
    except Exception as error:  # whatever it is, it becomes the note of this engine's row
        connection.send(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        pass


def resident_bytes() -> int:
    """Memory of this process that is in use (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _undisturbed() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _walk(matcher: Matcher, answer: Sequence[int]) -> list[int]:
    """Nanoseconds of each step."""
    times = []
    for place, token in enumerate(answer):
        start = perf_counter_ns()
        words = matcher.fill()
        matcher.accept(token)
        times.append(perf_counter_ns() - start)
        if not words[token >> 5] >> (token & 31) & 1:
            raise EngineError(f"token {token} at place {place} of an answer is not let through")
    return times


class _Rows:
    """Where each row of a batch stands in its answer."""

    def __init__(self, batch: Batch, answers: Sequence[Sequence[int]], numbers: Sequence[int]) -> None:
        self._batch = batch
        self._answers = [np.array(answers[number], np.int64) for number in numbers]
        self._numbers = numbers
        self._places = np.zeros(len(numbers), np.int64)

    def spread_out(self) -> None:
        """Bring the rows to places all over their answers."""
        count, longest = len(self._answers), max(map(len, self._answers))
        begins = [longest - (row * len(answer)) // count for row, answer in enumerate(self._answers)]
        for step in range(longest):
            for row in (row for row, begin in enumerate(begins) if begin == step):
                self._begin(row)
            tokens = self.tokens()
            self._batch.accept(tokens)
            self.advance()

    def tokens(self) -> NDArray[np.int64]:
        """What comes next in each row."""
        return np.array([answer[place] for answer, place in zip(self._answers, self._places, strict=True)], np.int64)

    def advance(self) -> None:
        """A token on in each row; a row that has its end begins anew."""
        self._places += 1
        for row, answer in enumerate(self._answers):
            if self._places[row] == len(answer):
                self._begin(row)

    def _begin(self, row: int) -> None:
        self._batch.restart(row, self._numbers[row])
        self._places[row] = 0


def _run(batch: Batch, answers: Sequence[Sequence[int]], numbers: Sequence[int]) -> float:
    """µs of a row and step."""
    rows = _Rows(batch, answers, numbers)
    rows.spread_out()
    elapsed = steps = 0
    while steps < FEWEST_STEPS or elapsed < SECONDS_A_BATCH * 1e9:
        tokens = rows.tokens()
        start = perf_counter_ns()
        words = batch.fill()
        batch.accept(tokens)
        elapsed += perf_counter_ns() - start
        steps += 1
        allowed = words[np.arange(len(tokens)), tokens >> 5] >> (tokens & 31) & 1
        if not allowed.all():
            raise EngineError(f"token {tokens[allowed == 0][0]} of an answer in a batch is not let through")
        rows.advance()
    return elapsed / steps / len(numbers) / 1e3


def _spread(name: str, steps: Sequence[int]) -> Figures:
    times = np.array(steps) / 1e3
    return {f"{name}_us": float(times.mean()), f"{name}_p99_us": float(np.percentile(times, 99))}
