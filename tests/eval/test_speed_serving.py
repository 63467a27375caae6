"""Measuring vLLM, over an engine that stands in for it: what is asked, counted and divided. The figures themselves need vLLM."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.speed.requests import TAGS, Asker
from eval.speed.serving import Cached, Figure, Plan, Row, Tokens, run
from eval.speed.tags import make_vocabulary
from hangtag.bundle import Bundle
from hangtag.errors import EngineError
from serve.engines.engine import Generation, GenerationRequest
from serve.engines.vllm import Continuation
from serve.tokenizer import load_tokenizer
from tests.fakes import random_answer


class Engine:
    """Answers at random within the rules, and takes a little time for every token."""

    block_size = 16

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.asked: list[tuple[int, ...]] = []
        self.plain: list[int] = []
        self.logprobs: list[bool] = []
        self.closed = 0
        self._running = self.most_at_once = 0

    async def generate(self, request: GenerationRequest) -> Generation:
        ids = random_answer(request.constraint(), random.Random(str(request.prompt)))
        self.asked.append(request.prompt)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0.0002 * len(ids))
        self._running -= 1
        return Generation(tuple(ids), (0.0,) * len(ids))

    async def unheld(self, prompt: Sequence[int], **parameters: Any) -> Continuation:
        self.plain.append(parameters["max_tokens"])
        self.logprobs.append("logprobs" in parameters)
        await asyncio.sleep(0.0001 * parameters["max_tokens"])
        known = max((_common(prompt, other) for other in self.asked), default=0)
        self.asked.append(tuple(prompt))
        return Continuation((0,) * parameters["max_tokens"], known // self.block_size * self.block_size)

    async def close(self) -> None:
        self.closed += 1


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    differs = (place for place, (token, also) in enumerate(zip(one, other, strict=False)) if token != also)
    return next(differs, min(len(one), len(other)))


@pytest.fixture(scope="module")
def asker(tiny_bundle: Path) -> Asker:
    bundle = Bundle.load(tiny_bundle)
    return Asker(bundle, load_tokenizer(bundle), make_vocabulary(100), 6)


def plan(asker: Asker) -> Plan:
    asked = [asyncio.run(asker.asked(explains=explains)) for explains in (False, True)]
    return Plan(asked, asked, {"the bundle's": asker}, 512, requests=12, callers=3, rounds=2, backends=())


def figures(plan: Plan, engine: type[Engine] = Engine) -> tuple[list[Figure], list[Engine]]:
    engines: list[Engine] = []

    def load(options: dict[str, Any]) -> Any:
        engines.append(engine(options))
        return engines[-1]

    return list(run(plan, load, lambda what: None)), engines


def test_requests_are_those_of_the_suggester(asker: Asker) -> None:
    asked = asyncio.run(asker.asked(explains=True))
    assert len(asked.requests) == 6
    for request in asked.requests:
        assert (request.rules.min_tags, request.rules.max_tags, request.rules.explain) == (TAGS, TAGS, True)
        assert request.prior.weights
    one, other = (asyncio.run(asker.request(0, explains=True, profile=asker.profile(event))) for event in (0, 1))
    assert one.prompt != other.prompt


def test_held_and_plain_answers_have_as_many_tokens(asker: Asker) -> None:
    (alone, explained, *_), (engine,) = figures(plan(asker))
    assert isinstance(alone, Row)
    assert isinstance(explained, Row)
    assert [row.explains for row in (alone, explained)] == [False, True]
    assert len(alone.seconds) == len(alone.unconstrained) == len(alone.with_logprobs) == len(alone.tokens) == 2
    assert sum(engine.plain[:48]) == 2 * sum(alone.tokens)
    assert engine.logprobs[:48] == [False] * 12 + [True] * 12 + [False] * 12 + [True] * 12
    assert engine.options == {"num_gpu_blocks_override": 2048, "max_num_seqs": 3, "max_model_len": 512}
    assert engine.closed == 1


def test_callers_ask_one_after_the_other(asker: Asker) -> None:
    engines: list[Engine] = []

    def load(options: dict[str, Any]) -> Any:
        engines.append(Engine(options))
        return engines[-1]

    rows = run(plan(asker), load, lambda what: None)
    next(rows)
    assert engines[0].most_at_once == 3
    rows.close()  # type: ignore[attr-defined]


def test_a_row_divides_by_the_unconstrained_rounds() -> None:
    row = Row("hangtag", 10, False, 14, [100, 100, 100], [2.0, 4.0, 1.0], [1.0, 1.0, 1.0], [1.5, 3.0, 0.5])
    assert row.rate == pytest.approx(300 / 7)
    assert row.answers == pytest.approx(6)
    assert (row.share, row.share_with_logprobs) == pytest.approx((0.5, 0.75))
    peer = Row("xgrammar", 10, False, 14, note="stopped")
    assert (peer.share, peer.share_with_logprobs) == (None, None)


def test_json_and_the_cache_are_counted(asker: Asker) -> None:
    done, _ = figures(plan(asker))
    counted = [figure for figure in done if isinstance(figure, Tokens)]
    assert [figure.explains for figure in counted] == [False, True]
    assert all(0.2 < figure.share < 1 for figure in counted)
    (found,) = (figure for figure in done if isinstance(figure, Cached))
    assert 0 < found.share < 1
    assert found.block == 16


def test_an_engine_that_fails_is_noted_and_closed(asker: Asker) -> None:
    class Failing(Engine):
        async def unheld(self, prompt: Sequence[int], **parameters: Any) -> Continuation:
            raise EngineError("out of memory")

    engines: list[Engine] = []

    def load(options: dict[str, Any]) -> Any:
        engines.append(Failing(options))
        return engines[-1]

    rows = run(plan(asker), load, lambda what: None)
    row = next(rows)
    assert isinstance(row, Row)
    assert row.note == "out of memory"
    assert row.share is None
    rows.close()  # type: ignore[attr-defined]
    assert engines[0].closed == 1
