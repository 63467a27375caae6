import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from hangtag.bundle import Bundle
from hangtag.errors import EngineError, InvalidBundle, InvalidInput
from hangtag.influence import prior_influence
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from serve.engines.engine import Generation, GenerationRequest, StreamingEngine
from serve.engines.local import LocalEngine
from serve.suggester import Suggester
from serve.tokenizer import HuggingFaceTokenizer
from tests.tiny import adapter_like, suggester_with


def request_of(suggester: Suggester, prompt: str, *, prior: TagPrior | None = None, **rules: int | bool) -> GenerationRequest:
    ids = suggester._tokenizer.encode(prompt)
    return GenerationRequest(
        tuple(ids),
        suggester.codec("en"),
        AnswerRules(**rules),
        quotable=(prompt,),
        prior=prior or TagPrior(),  # type: ignore[arg-type]
    )


def test_every_id_has_a_log_probability_and_the_ids_are_an_answer(suggester: Suggester) -> None:
    generation = asyncio.run(suggester.engine.generate(request_of(suggester, "Linen shirt", min_tags=2)))
    assert len(generation.ids) == len(generation.logprobs) == len(generation.unbiased)
    assert all(logprob <= 1e-9 for logprob in generation.logprobs)
    answer = suggester.codec("en").read(generation.ids)
    assert 2 <= len(answer.tags) <= 5
    assert answer.explanation


def test_a_prior_decides_where_it_is_strong(suggester: Suggester) -> None:
    for tag in range(len(suggester.vocabulary)):
        request = request_of(suggester, "Linen", prior=TagPrior({tag: 60.0}), explain=False)
        generation = asyncio.run(suggester.engine.generate(request))
        assert suggester.codec("en").read(generation.ids).tags[0] == tag


def test_a_prior_that_decided_is_told_from_one_that_did_not(suggester: Suggester) -> None:
    plain = request_of(suggester, "Linen", explain=False, max_tags=1)
    generation = asyncio.run(suggester.engine.generate(plain))
    assert generation.unbiased == generation.ids
    (alone,) = prior_influence(plain.constraint(), generation.ids, generation.unbiased)
    assert not alone.is_due_to_prior
    for tag in range(len(suggester.vocabulary)):
        request = replace(plain, prior=TagPrior({tag: 60.0}))
        generation = asyncio.run(suggester.engine.generate(request))
        (found,) = prior_influence(request.constraint(), generation.ids, generation.unbiased)
        assert found.tag == tag
        assert found.is_due_to_prior == (tag != alone.tag)
        assert (alone.tag in found.instead) == (tag != alone.tag)


def test_requests_that_come_together_share_batches(suggester: Suggester) -> None:
    engine = suggester.engine
    assert isinstance(engine, LocalEngine)
    requests = [request_of(suggester, "Linen " * (n + 1), max_tags=n % 4 + 1, explain=False) for n in range(12)]

    async def together() -> None:
        answers = await asyncio.gather(*map(engine.generate, requests))
        for request, generation in zip(requests, answers, strict=True):
            assert len(request.codec.read(generation.ids).tags) <= request.rules.max_tags

    before = engine.batches
    asyncio.run(together())
    assert engine.batches - before < len(requests)


def test_a_request_that_can_not_be_met_fails_alone(suggester: Suggester) -> None:
    good, bad = request_of(suggester, "Linen"), request_of(suggester, "Linen", prior=TagPrior({99: 1.0}))

    async def both() -> list[object]:
        return await asyncio.gather(suggester.engine.generate(good), suggester.engine.generate(bad), return_exceptions=True)

    answer, error = asyncio.run(both())
    assert not isinstance(answer, Exception)
    assert "the prior names tag 99" in str(error)


def test_a_request_that_is_broken_fails_alone_and_the_worker_goes_on(suggester: Suggester) -> None:
    broken = replace(request_of(suggester, "Linen"), quotable=("\ud800",))

    async def both() -> list[object]:
        good = request_of(suggester, "Linen")
        return await asyncio.gather(*map(suggester.engine.generate, (broken, good)), return_exceptions=True)

    for _ in range(2):
        error, answer = asyncio.run(both())
        assert isinstance(error, EngineError)
        assert "the request can't be run: UnicodeEncodeError" in str(error)
        assert not isinstance(answer, Exception)


def test_what_a_model_says_about_generation_changes_no_score(tiny_bundle: Path, suggester: Suggester) -> None:
    bundle = Bundle.load(tiny_bundle)
    assert bundle.base is not None
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(bundle.base), bundle.adapter).merge_and_unload()
    model.generation_config.update(repetition_penalty=3.0, no_repeat_ngram_size=2, suppress_tokens=[300], max_length=7)
    engine = LocalEngine(model, HuggingFaceTokenizer.load(bundle.base))
    request = request_of(suggester, "Linen shirt, Linen shirt", min_tags=3)

    async def generate() -> Generation:
        try:
            return await engine.generate(request)
        finally:
            await engine.close()

    expected = asyncio.run(suggester.engine.generate(request))
    generation = asyncio.run(generate())
    assert generation.ids == expected.ids
    assert generation.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def test_a_cancelled_request_stops_and_the_next_is_answered(suggester: Suggester) -> None:
    long = request_of(suggester, "Linen shirt", min_tags=8, max_tags=8, max_explanation_tokens=256)

    async def cancel() -> None:
        task = asyncio.create_task(suggester.engine.generate(long))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        generation = await suggester.engine.generate(request_of(suggester, "Linen", explain=False))
        assert generation.ids

    asyncio.run(cancel())


def test_closing_ends_what_is_running_and_what_comes_later(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    assert bundle.base is not None
    tokenizer = HuggingFaceTokenizer.load(bundle.base)
    engine = LocalEngine.load(bundle, tokenizer)
    suggester = suggester_with(engine, tiny_bundle)
    long = request_of(suggester, "Linen shirt", min_tags=8, max_tags=8, max_explanation_tokens=256)

    async def close() -> float:
        tasks = [asyncio.create_task(engine.generate(long)) for _ in range(40)]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await engine.close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, EngineError)
        with pytest.raises(EngineError, match="the engine is closed"):
            await engine.generate(long)
        return time.monotonic() - started

    assert asyncio.run(close()) < 2


def test_pieces_come_token_by_token_and_together_are_the_answer(suggester: Suggester) -> None:
    request = request_of(suggester, "Linen shirt", min_tags=2)

    async def pieces() -> list[Generation]:
        return [piece async for piece in suggester.engine.stream(request)]  # type: ignore[attr-defined]

    streamed = asyncio.run(pieces())
    assert all(len(piece.ids) == len(piece.logprobs) == len(piece.unbiased) == 1 for piece in streamed)
    assert len(streamed) > 4
    assert sum(streamed, Generation((), ())) == asyncio.run(suggester.engine.generate(request))


def test_a_caller_that_leaves_the_pieces_stops_the_work(suggester: Suggester) -> None:
    engine = suggester.engine
    assert isinstance(engine, LocalEngine)
    request = request_of(suggester, "Linen shirt", min_tags=8, max_tags=8, max_explanation_tokens=256)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    async def leave() -> None:
        pieces = engine.stream(request)
        await anext(pieces)
        await pieces.aclose()
        await engine.generate(request_of(suggester, "Linen", max_tags=1, explain=False))

    whole = len(asyncio.run(engine.generate(request)).ids)
    counting = engine._models[None].model.register_forward_pre_hook(count)
    asyncio.run(leave())
    counting.remove()
    assert steps < whole


def test_adapters_are_loaded_named_and_unloaded_beside_requests(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    assert bundle.base is not None
    assert bundle.adapter is not None
    other = adapter_like(bundle.adapter, tmp_path / "other", scale=40.0)
    tokenizer = HuggingFaceTokenizer.load(bundle.base)
    engine = LocalEngine.load(bundle, tokenizer)
    assert isinstance(engine, StreamingEngine)
    plain = request_of(suggester_with(engine, tiny_bundle), "Linen shirt", min_tags=3)

    async def run() -> None:
        before = await engine.generate(plain)
        with pytest.raises(InvalidInput, match="no adapter 'other'"):
            await engine.generate(replace(plain, adapter="other"))
        await engine.load_adapter("own", bundle.adapter)
        await engine.load_adapter("other", other)
        own, changed, plain_again = await asyncio.gather(
            *(engine.generate(replace(plain, adapter=name)) for name in ("own", "other", None))
        )
        assert own.ids == plain_again.ids == before.ids
        assert changed.logprobs != before.logprobs
        running = asyncio.create_task(engine.generate(replace(plain, adapter="other")))
        await asyncio.sleep(0)
        await engine.unload_adapter("other")
        assert running.done()
        assert (await running).ids == changed.ids
        for again in (engine.load_adapter("other", other), engine.unload_adapter("other")):
            with pytest.raises(InvalidInput):
                await again
        with pytest.raises(InvalidBundle, match="can't be loaded"):
            await engine.load_adapter("broken", tmp_path)
        await engine.close()
        assert engine.troubles()

    asyncio.run(run())
