from collections.abc import Sequence

import numpy as np
import pytest

from eval.speed.engine import Task
from eval.speed.tokenizers import load_tokenizer
from eval.speed.worker import ENGINES, Worker, make_engine
from hangtag.errors import EngineError
from serve.settings import DEFAULT_BUNDLE

ROWS = 5
PACKAGES = {"llguidance": "llguidance", "xgrammar": "xgrammar", "outlines-core": "outlines_core"}


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(load_tokenizer("bundled", DEFAULT_BUNDLE), 120)


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.speed.worker.SECONDS_A_WALK", 0.001)
    monkeypatch.setattr("eval.speed.worker.SECONDS_A_BATCH", 0.001)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_lets_the_answers_through_one_by_one_and_in_a_batch(task: Task, name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    worker = Worker(make_engine(name, task), task, ROWS)
    figures: dict[str, float] = {}
    for measurement in (worker.prepare, worker.cold, worker.warm, worker.batch):
        figures |= measurement()
    assert {"ready_s", "request_us", "cold_us", "cold_p99_us", "warm_us", "warm_p99_us", "batch_us"} <= set(figures)
    assert all(figures[f"{kind}_us"] > 0 for kind in ("cold", "warm", "batch"))
    assert ("tokenising_s" in figures) == ("array_bytes" in figures) == name.startswith("hangtag")


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_refuses_what_is_no_answer(task: Task, name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    engine = make_engine(name, task)
    engine.prepare()
    words = np.zeros(task.mask_words, np.int32)
    matcher = engine.open(0, words)
    mask = matcher.fill()
    allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
    assert engine.answers()[0][0] in allowed
    assert task.tokenizer.eos_id not in allowed
    assert task.tokenizer.encode("<")[0] not in allowed


@pytest.mark.parametrize("name", ["hangtag", "xgrammar"])
def test_logits_are_masked_as_the_mask_says(task: Task, name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    import torch

    engine = make_engine(name, task)
    engine.prepare()
    batch = engine.batch(engine.ways[0], [0, 1, 2])
    mask = batch.fill()
    logits = torch.zeros(3, task.tokenizer.size)
    batch.apply(logits)
    bits = np.unpackbits(mask.view(np.uint8), axis=1, count=task.tokenizer.size, bitorder="little")
    assert (np.isfinite(logits.numpy()) == bits).all()


class _Refusing:
    """A matcher and an engine that let nothing through."""

    ways = ("one by one",)

    def __init__(self, task: Task) -> None:
        self.words = np.zeros(task.mask_words, np.int32)

    def prepare(self) -> object:
        from eval.speed.engine import Prepared

        return Prepared(0.1)

    def answers(self) -> list[list[int]]:
        return [[1, 2]] * 16

    def open(self, number: int, words: object) -> "_Refusing":
        return self

    def batch(self, way: str, numbers: Sequence[int]) -> object:
        raise NotImplementedError

    def restart(self) -> None:
        pass

    def fill(self) -> object:
        return self.words

    def accept(self, token: int) -> None:
        pass


def test_an_engine_that_does_not_let_an_answer_through_has_no_figures(task: Task) -> None:
    worker = Worker(_Refusing(task), task, ROWS)  # type: ignore[arg-type]
    worker.prepare()
    with pytest.raises(EngineError, match="token 1 at place 0 of an answer is not let through"):
        worker.cold()
