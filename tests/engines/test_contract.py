"""What every engine keeps to, on the same requests: the local one is the reference. Where vLLM is installed (`make test-vllm`)
the engine in this process and the one over a server stand beside it, on the model runner that the environment chooses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hangtag.answer import AnswerCodec
from hangtag.bundle import Bundle
from hangtag.errors import EngineError, InvalidBundle, InvalidInput, InvalidRules
from hangtag.evidence import Evidence
from hangtag.explanation import ExplanationGrammar
from hangtag.influence import prior_influence
from hangtag.listing import Listing
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.state import InTags, Phase
from serve.candidates import Candidates
from serve.engines.engine import Generation, GenerationRequest, ServingEngine
from serve.engines.local import LocalEngine
from serve.suggester import Suggester, SuggestionRequest
from serve.tokenizer import HuggingFaceTokenizer
from tests.tiny import CHINESE, CONTEXT, SENTENCES, build_adapter

T = TypeVar("T")
ON_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="make test-vllm"),
    pytest.mark.filterwarnings("default"),
]
ENGINES = ["local", pytest.param("vllm", marks=ON_VLLM), pytest.param("remote", marks=ON_VLLM)]
LONG = AnswerRules(min_tags=8, max_tags=8, max_explanation_tokens=200)
PRIOR = TagPrior({0: 2.5, 3: -1.0, 5: 4.0})
EVIDENCE = Evidence({3: "Linen", 1: "shirt"}, 3.0)
RULES = (
    AnswerRules(max_tags=3, max_explanation_tokens=24),
    AnswerRules(max_tags=8, explain=False),
    AnswerRules(min_tags=0, max_tags=2, max_explanation_tokens=60),
    AnswerRules(min_tags=2, max_tags=3, banned=frozenset({0, 1}), max_explanation_tokens=2),
    AnswerRules(max_tags=4, only=frozenset({2, 3, 4, 5}), max_explanation_tokens=12),
    AnswerRules(min_tags=3, max_tags=4, facet_limits={"category": 1, "feature": 0}, max_explanation_tokens=40),
    AnswerRules(max_tags=5, exclusions=(frozenset({0, 1, 2}), frozenset({3, 4})), max_explanation_tokens=16),
)


class Parts:
    """The tiny bundle, what its requests are made of, and a second adapter for its base."""

    def __init__(self, directory: Path, others: Path) -> None:
        self.bundle = Bundle.load(directory)
        assert self.bundle.base is not None
        self.tokenizer = HuggingFaceTokenizer.load(self.bundle.base)
        grammar = ExplanationGrammar(self.tokenizer)
        self.codecs = {name: AnswerCodec(self.tokenizer, self.bundle.vocabulary, name, grammar) for name in ("en", "zh")}
        self.adapter = build_adapter(self.bundle.base, others / "second", seed=1)
        self.misfit = build_adapter(self.bundle.base, others / "misfit", seed=2, hidden_size=96)

    def request(
        self, text: str = SENTENCES[0], rules: AnswerRules = RULES[0], language: str = "en", **others: Any
    ) -> GenerationRequest:
        prompt = tuple(self.tokenizer.encode(text))
        return GenerationRequest(prompt, self.codecs[language], rules, quotable=(text,), **others)

    def requests(self, **others: Any) -> list[GenerationRequest]:
        """Every rule, in both languages, with and without what stands beside the model."""
        made = []
        for number, rules in enumerate(RULES * 2):
            language, text = ("en", SENTENCES[number % 3]) if number < len(RULES) else ("zh", CHINESE)
            beside = {"prior": PRIOR, "evidence": EVIDENCE, "compare": True} if number % 2 else {}
            made.append(self.request(text, rules, language, **beside, **others))
        return made


@pytest.fixture(scope="module")
def parts(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tiny_bundle, tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def reference(parts: Parts) -> Iterator[LocalEngine]:
    engine = LocalEngine.load(parts.bundle, parts.tokenizer)
    asyncio.run(engine.load_adapter("second@1", parts.adapter))
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingEngine]:
    if request.param == "local":
        made: ServingEngine = LocalEngine.load(parts.bundle, parts.tokenizer)
        yield made
    elif request.param == "vllm":
        from serve.engines.vllm import VllmEngine
        from tests.vllm.served import SMALL

        made = VllmEngine.load(parts.bundle, parts.tokenizer, options=SMALL)
        yield made
    else:
        from serve.engines.remote import RemoteEngine
        from tests.vllm.served import Served
        from tests.vllm.server import running

        directory = tmp_path_factory.mktemp("remote")
        assert parts.bundle.base is not None
        served = Served(parts.bundle.base, directory, parts.codecs["en"])
        for codec in parts.codecs.values():
            codec.compiled.save(directory)
        with running(served, directory / "log", "--max-model-len", str(CONTEXT), adapters=True) as client:
            made = RemoteEngine.connect(parts.bundle, [str(client.base_url)])
            yield made
            asyncio.run(made.close())
    asyncio.run(made.close())


async def all_of(engine: ServingEngine, requests: list[GenerationRequest]) -> list[Generation]:
    return list(await asyncio.gather(*map(engine.generate, requests)))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 300))


def hold_to_the_rules(request: GenerationRequest, generation: Generation) -> int:
    """Hold an answer to the constraint, token by token; how many of its tokens belong to tags."""
    constraint = request.constraint()
    state, in_tags = constraint.start(), 0
    for token in generation.ids:
        assert token in constraint.allowed(state).tokens
        in_tags += isinstance(state, InTags)
        state = constraint.advance(state, token)
    assert state.phase is Phase.DONE
    request.codec.read(generation.ids)
    return in_tags


def hold_to(reference: list[Generation], requests: list[GenerationRequest], generations: list[Generation]) -> None:
    for expected, request, generation in zip(reference, requests, generations, strict=True):
        in_tags = hold_to_the_rules(request, generation)
        assert generation.ids == expected.ids
        assert generation.logprobs == pytest.approx(expected.logprobs, abs=2e-3)
        assert not generation.unbiased or generation.unbiased[:in_tags] == expected.unbiased[:in_tags]


def test_answers_are_the_references(engine: ServingEngine, reference: LocalEngine, parts: Parts) -> None:
    requests = parts.requests()
    hold_to(run(all_of(reference, requests)), requests, run(all_of(engine, requests)))
    assert engine.troubles() == ()


def test_pieces_are_the_answer(engine: ServingEngine, parts: Parts) -> None:
    async def listen(request: GenerationRequest) -> list[Generation]:
        return [piece async for piece in engine.stream(request)]

    async def both() -> None:
        for request in parts.requests()[:4]:
            whole, pieces = await engine.generate(request), await listen(request)
            assert tuple(token for piece in pieces for token in piece.ids) == whole.ids
            assert [value for piece in pieces for value in piece.logprobs] == pytest.approx(whole.logprobs, abs=2e-3)
            assert len(pieces) > 1

    run(both())


def test_what_of_a_prompt_was_cached_is_told(engine: ServingEngine, parts: Parts) -> None:
    request = parts.request(" ".join(SENTENCES[:4]), cache_salt="once")
    first, again = (run(engine.generate(request)) for _ in range(2))
    if isinstance(engine, LocalEngine):
        assert first.cached is again.cached is None
    else:
        assert first.cached == 0
        assert again.cached is not None
        assert 32 <= again.cached < len(request.prompt), "all whole blocks but the last"


def test_a_prior_decides_where_it_is_strong_and_it_is_told_that_it_did(engine: ServingEngine, parts: Parts) -> None:
    plain = parts.request(rules=AnswerRules(max_tags=1, explain=False), compare=True)
    requests = [replace(plain, prior=TagPrior({tag: 60.0})) for tag in range(len(parts.bundle.vocabulary))]
    alone, *generations = run(all_of(engine, [plain, *requests]))
    assert alone.unbiased == alone.ids
    (own,) = plain.codec.read(alone.ids).tags
    for tag, (request, generation) in enumerate(zip(requests, generations, strict=True)):
        assert request.codec.read(generation.ids).tags == (tag,)
        if generation.unbiased:
            (found,) = prior_influence(request.constraint(), generation.ids, generation.unbiased)
            assert found.is_due_to_prior == (tag != own)
    assert any(generation.unbiased for generation in generations)


def test_many_at_once(engine: ServingEngine, reference: LocalEngine, parts: Parts) -> None:
    requests = [parts.request(f"{SENTENCES[number % 6]} {number}", RULES[number % 2]) for number in range(64)]
    for request, generation in zip(requests, run(all_of(engine, requests)), strict=True):
        hold_to_the_rules(request, generation)


def test_adapters_answer_beside_each_other(engine: ServingEngine, reference: LocalEngine, parts: Parts) -> None:
    plain, adapted = parts.requests(), parts.requests(adapter="second@1")

    async def use() -> None:
        asking = asyncio.create_task(all_of(engine, plain))
        await engine.load_adapter("second@1", parts.adapter)
        await asking
        mixed = await all_of(engine, [*plain, *adapted])
        expected = await all_of(reference, [*plain, *adapted])
        hold_to(expected, [*plain, *adapted], mixed)
        assert [one.ids for one in mixed[: len(plain)]] != [one.ids for one in mixed[len(plain) :]]
        with pytest.raises(InvalidInput, match="was given to an adapter before"):
            await engine.load_adapter("second@1", parts.adapter)
        running = asyncio.create_task(engine.generate(parts.request(rules=LONG, adapter="second@1")))
        await asyncio.sleep(0.05)
        await engine.unload_adapter("second@1")
        assert running.done()
        hold_to_the_rules(parts.request(rules=LONG), running.result())
        with pytest.raises(InvalidInput, match="there is no adapter 'second@1'"):
            await engine.generate(adapted[0])
        with pytest.raises(InvalidInput, match="there is no adapter 'second@1'"):
            await engine.unload_adapter("second@1")
        with pytest.raises(InvalidInput, match="was given to an adapter before"):
            await engine.load_adapter("second@1", parts.adapter)

    run(use())


def test_an_adapter_of_another_base_is_refused(engine: ServingEngine, parts: Parts, tmp_path: Path) -> None:
    for directory in (parts.misfit, tmp_path / "nowhere"):
        with pytest.raises(InvalidBundle):
            run(engine.load_adapter(f"misfit@{directory.name}", directory))
    run(all_of(engine, parts.requests()[:2]))
    assert engine.troubles() == ()


def test_what_can_not_be_kept_fails_alone(engine: ServingEngine, parts: Parts) -> None:
    good = parts.request()
    bad = {
        InvalidRules: [parts.request(rules=AnswerRules(max_tags=9)), parts.request(prior=TagPrior({99: 1.0}))],
        InvalidInput: [parts.request("linen " * CONTEXT)],
        EngineError: [replace(good, quotable=("\ud800",))],
    }

    async def together() -> None:
        requests = [request for kind in bad.values() for request in kind]
        answer, *errors = await asyncio.gather(*map(engine.generate, [good, *requests]), return_exceptions=True)
        assert isinstance(answer, Generation)
        hold_to_the_rules(good, answer)
        for kind, error in zip((kind for kind, asked in bad.items() for _ in asked), errors, strict=True):
            assert isinstance(error, kind) or (kind is EngineError and isinstance(error, InvalidInput))

    run(together())


def test_a_caller_that_goes_away_ends_its_work(engine: ServingEngine, parts: Parts) -> None:
    long = parts.request(rules=LONG)

    async def leave() -> None:
        for patience in (0.05, 0.01, 0.0):  # on its way as far as may be, but not there yet
            task = asyncio.create_task(engine.generate(long))
            await asyncio.sleep(patience)
            if task.cancel():
                break
        with pytest.raises(asyncio.CancelledError):
            await task
        async with aclosing(engine.stream(long)) as pieces:
            async for _ in pieces:
                break
        hold_to_the_rules(parts.request(), await engine.generate(parts.request()))

    run(leave())


def test_the_suggester_answers_alike(engine: ServingEngine, reference: LocalEngine, parts: Parts) -> None:
    def suggester(of: ServingEngine) -> Suggester:
        vocabulary = parts.bundle.vocabulary
        return Suggester(parts.bundle, vocabulary, parts.tokenizer, of, Candidates(vocabulary))

    async def both() -> None:
        for title, language in ((SENTENCES[0], "en"), (CHINESE, "zh")):
            asked = SuggestionRequest(Listing(title=title, language=language))
            one, other = [await suggester(of).suggest(asked) for of in (engine, reference)]
            assert [tag.tag for tag in one.tags] == [tag.tag for tag in other.tags]
            assert [tag.confidence for tag in one.tags] == pytest.approx([tag.confidence for tag in other.tags], abs=1e-2)
            assert one.explanation == other.explanation

    run(both())


def test_metrics_are_in_prometheus_format(engine: ServingEngine) -> None:
    for line in run(engine.metrics()).splitlines():
        assert line.startswith("#") or float(line.rsplit(" ", 1)[1]) is not None


def test_closing_ends_what_runs_and_what_comes_later(engine: ServingEngine, parts: Parts) -> None:
    """The last test of an engine."""

    async def close() -> float:
        tasks = [asyncio.create_task(engine.generate(parts.request(rules=LONG))) for _ in range(40)]
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await engine.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(outcome, EngineError) for outcome in outcomes)
        assert all(isinstance(outcome, EngineError | Generation) for outcome in outcomes)
        with pytest.raises(EngineError, match="the engine is closed"):
            await engine.generate(parts.request())
        await engine.close()
        return time.monotonic() - begun

    assert run(close()) < 30
