"""Two real servers behind one engine, of which one is killed under load."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from hangtag.bundle import Bundle
from hangtag.errors import EngineError
from hangtag.rules import AnswerRules
from serve.engines.engine import GenerationRequest
from serve.engines.remote import RemoteEngine
from tests.tiny import SENTENCES
from tests.vllm.served import Served
from tests.vllm.server import Running, started

CALLERS = 24
CONTEXT = 384

pytestmark = pytest.mark.skipif(
    os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1", reason="what servers run inside makes no difference to a gateway"
)


@pytest.fixture(scope="module")
def servers(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        logs = tmp_path_factory.mktemp("takeover")
        yield [stack.enter_context(started(served, logs / f"log-{number}")) for number in range(2)]


def request(served: Served, number: int) -> GenerationRequest:
    text = f"{SENTENCES[number % 3]} {number % 12}"
    rules = AnswerRules(min_tags=3, max_tags=8, max_explanation_tokens=40)
    return GenerationRequest(tuple(served.codec.tokenizer.encode(text)), served.codec, rules, quotable=(text,))


def test_the_others_take_over_and_no_answer_is_wrong(served: Served, servers: list[Running]) -> None:
    bundle = replace(Bundle.load(served.model.parent), context=CONTEXT)
    engine = RemoteEngine.connect(bundle, [server.url for server in servers], check_seconds=0.5)
    seconds = 8.0

    async def load() -> dict[int, set[tuple[int, ...]]]:
        answers: dict[int, set[tuple[int, ...]]] = {}
        begun = time.monotonic()

        async def call(caller: int) -> None:
            number = caller
            while time.monotonic() - begun < seconds:
                asked = request(served, number)
                generation = await engine.generate(asked)
                served.hold(asked, generation)
                answers.setdefault(number % 12, set()).add(generation.ids)
                number += CALLERS + 1

        async def kill() -> None:
            await asyncio.sleep(seconds / 3)
            assert engine.troubles() == ()
            servers[0].kill()

        await asyncio.gather(kill(), *map(call, range(CALLERS)))
        return answers

    answers = asyncio.run(load())
    assert len(answers) == 12
    assert all(len(alike) == 1 for alike in answers.values()), "the servers answer the same request differently"
    (trouble,) = engine.troubles()
    assert trouble.startswith(f"{servers[0].url} is not used: it can't be reached")
    servers[1].kill()
    with pytest.raises(EngineError, match="no server can answer") as raised:
        asyncio.run(engine.generate(request(served, 0)))
    assert servers[0].url in str(raised.value) or servers[1].url in str(raised.value)
    asyncio.run(engine.close())
