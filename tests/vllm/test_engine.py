"""The processor in a real engine: what comes out is an answer, whatever the engine does with the request meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from vllm import LLM, SamplingParams
from vllm.exceptions import VLLMValidationError

from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from serve.decoding.requests import VOCABULARY, DecodingRequest, write
from serve.decoding.vllm import BREAKING, HangtagLogitsProcessor, prepare
from tests.tiny import SENTENCES
from tests.vllm.served import Served, some_evidence, some_prior

RULES = (
    AnswerRules(max_tags=3, max_explanation_tokens=24),
    AnswerRules(max_tags=8, explain=False),
    AnswerRules(min_tags=0, max_tags=2, max_explanation_tokens=60),
    AnswerRules(min_tags=2, max_tags=3, banned=frozenset({0, 1}), max_explanation_tokens=2),
    AnswerRules(max_tags=4, only=frozenset({2, 3, 4, 5}), max_explanation_tokens=12),
    AnswerRules(min_tags=3, max_tags=4, facet_limits={"category": 1, "feature": 0}, max_explanation_tokens=40),
    AnswerRules(max_tags=5, exclusions=(frozenset({0, 1, 2}), frozenset({3, 4})), max_explanation_tokens=16),
)


def params(served: Served, request: DecodingRequest | None, **others: Any) -> SamplingParams:
    """Of a request; None is somebody else's. Without a seed: one of a prompt that is read in chunks kills vLLM 0.32's V1 on a
    CPU ("CPU Generator does not use offset")."""
    if request is None:
        return SamplingParams(**{"temperature": 0.0, "max_tokens": 20, "ignore_eos": True, **others})
    most = others.pop("max_tokens", None) or served.most_tokens(request)
    return SamplingParams(**{"temperature": 1.0, "max_tokens": most, "extra_args": write(request), **others})


def generate(llm: LLM, prompts: Sequence[Any], asked: Sequence[SamplingParams]) -> list[Any]:
    return [output.outputs[0] for output in llm.generate(list(prompts), list(asked), use_tqdm=False)]


def preemptions(llm: LLM) -> int:
    return sum(metric.value for metric in llm.get_metrics() if metric.name == "vllm:num_preemptions")


@pytest.fixture(scope="module", autouse=True)
def prepared(llm: LLM) -> None:
    """An `LLM` has no guard: before somebody checks its configuration, every request of ours is refused."""
    served, ready = HangtagLogitsProcessor.served, HangtagLogitsProcessor.prepared
    assert not ready
    assert not served
    with pytest.raises(VLLMValidationError, match="has not checked how this engine is configured"):
        llm.generate({"prompt_token_ids": [1]}, SamplingParams(extra_args={VOCABULARY: "0" * 64}), use_tqdm=False)
    prepare(llm.llm_engine.vllm_config)


def test_every_answer_is_one_through_chunks_and_preemption(llm: LLM, served: Served) -> None:
    requests = [
        served.request(rules, prior=some_prior() if number % 2 else TagPrior(), evidence=some_evidence())
        for number, rules in enumerate(RULES * 3)
    ]
    prompts = [served.prompt(SENTENCES[number % 6], 1 + number % 4) for number in range(len(requests))]
    before = preemptions(llm)
    outputs = generate(llm, prompts, [params(served, request) for request in requests])
    for request, output in zip(requests, outputs, strict=True):
        assert output.finish_reason == "stop"
        served.walk(request, list(output.token_ids))
    assert max(len(prompt["prompt_token_ids"]) for prompt in prompts) > 48, "no prompt was read in chunks"
    assert preemptions(llm) > before, "no request was preempted"


def test_the_mask_is_the_references_token_by_token(llm: LLM, served: Served) -> None:
    requests = [served.request(rules, prior=some_prior(), evidence=some_evidence()) for rules in RULES]
    size = served.codec.tokenizer.size
    asked = [params(served, request, temperature=0.0, logprobs=size, detokenize=False) for request in requests]
    for request, output in zip(requests, generate(llm, [served.prompt()] * len(requests), asked), strict=True):
        for allowed, logprobs in zip(served.walk(request, list(output.token_ids)), output.logprobs, strict=True):
            assert sorted(token for token, entry in logprobs.items() if entry.logprob > -1e4) == sorted(allowed.tokens)
            assert sum(math.exp(entry.logprob) for entry in logprobs.values()) == pytest.approx(1, abs=1e-4)


def test_the_prior_counts_once_though_the_processor_comes_twice(llm: LLM, served: Served) -> None:
    size = served.codec.tokenizer.size
    requests = [served.request(prior=prior) for prior in (TagPrior(), some_prior())]
    asked = [params(served, request, temperature=0.0, logprobs=size, detokenize=False) for request in requests]
    without, with_prior = generate(llm, [served.prompt()] * 2, asked)
    constraint = requests[1].constraint(served.codec.compiled, served.codec.grammar)
    allowed = constraint.allowed(constraint.start())
    added = [with_prior.logprobs[0][token].logprob - without.logprobs[0][token].logprob for token in allowed.tokens.tolist()]
    assert np.ptp(allowed.bias) > 1
    np.testing.assert_allclose(added - np.mean(added), allowed.bias - allowed.bias.mean(), atol=1e-3)


def test_neighbours_are_left_as_they_are(llm: LLM, served: Served) -> None:
    prompts = [served.prompt(sentence) for sentence in SENTENCES[:4]]
    plain = [params(served, None, logprobs=5) for _ in prompts]
    alone = generate(llm, prompts, plain)
    ours = [params(served, served.request(rules)) for rules in RULES[:4]]
    mixed_prompts = [prompt for prompt in prompts for _ in range(2)]
    mixed = generate(llm, mixed_prompts, [one for pair in zip(plain, ours, strict=True) for one in pair])
    for before, after in zip(alone, mixed[::2], strict=True):
        assert before.token_ids == after.token_ids
        for one, other in zip(before.logprobs, after.logprobs, strict=True):
            assert {token: entry.logprob for token, entry in one.items()} == pytest.approx(
                {token: entry.logprob for token, entry in other.items()}, abs=1e-4
            )
    for rules, output in zip(RULES[:4], mixed[1::2], strict=True):
        served.walk(served.request(rules), list(output.token_ids))


def test_several_answers_of_one_request(llm: LLM, served: Served) -> None:
    request = served.request()
    (output,) = llm.generate([served.prompt()], params(served, request, n=4), use_tqdm=False)
    assert len({tuple(one.token_ids) for one in output.outputs}) > 1
    for one in output.outputs:
        served.walk(request, list(one.token_ids))


@pytest.mark.parametrize("name", BREAKING)
def test_parameters_that_would_break_an_answer_are_refused(llm: LLM, served: Served, name: str) -> None:
    from vllm.sampling_params import RepetitionDetectionParams, StructuredOutputsParams

    values: dict[str, Any] = {
        "allowed_token_ids": [1],
        "bad_words": ["linen"],
        "ignore_eos": True,
        "min_tokens": 1,
        "repetition_detection": RepetitionDetectionParams(max_pattern_size=2, min_count=2),
        "stop": ["x"],
        "stop_token_ids": [1],
        "structured_outputs": StructuredOutputsParams(choice=["a"]),
        "thinking_token_budget": 3,
        "trace_decode_token_ids": [1],
    }
    sampling = params(served, served.request(), **{name: values[name]})
    with pytest.raises(VLLMValidationError, match=f"{name} can't be used"):
        HangtagLogitsProcessor.validate_params(sampling)


def test_requests_that_can_not_be_kept_are_refused(llm: LLM, served: Served) -> None:
    good = served.request()
    cases = {
        "it would be cut short": params(served, good, max_tokens=served.most_tokens(good) - 1),
        "only 8 tags": params(served, DecodingRequest(good.vocabulary, AnswerRules(max_tags=9)), max_tokens=300),
        "no such compiled vocabulary": params(served, DecodingRequest("0" * 64)),
        "is no hash": params(served, DecodingRequest("../" * 21 + "a")),
        "hangtag_priors is no parameter": params(served, good, extra_args={**write(good), "hangtag_priors": [1]}),
        "must be between": params(
            served, good, extra_args={**write(good), "hangtag_prior_tags": [0], "hangtag_prior_weights": [math.nan]}
        ),
    }
    for message, sampling in cases.items():
        with pytest.raises(VLLMValidationError, match=message):
            llm.generate([served.prompt()], sampling, use_tqdm=False)
    (output,) = generate(llm, [served.prompt()], [params(served, good)])
    served.walk(good, list(output.token_ids))


def test_a_request_that_only_the_worker_can_not_read_ends_alone(llm: LLM, served: Served) -> None:
    """The file goes away between validation and the first step; the front end remembers it, the worker never read it."""
    codec = served.codec
    other = type(codec)(codec.tokenizer, codec.vocabulary, "zh", codec.grammar)
    path = other.compiled.save(served.vocabularies)
    gone, good = DecodingRequest(other.compiled.hash, RULES[0]), served.request()
    sampling = params(served, gone, max_tokens=200)
    HangtagLogitsProcessor.validate_params(sampling)
    path.unlink()
    ended, answered = generate(llm, [served.prompt()] * 2, [sampling, params(served, good)])
    assert list(ended.token_ids) == [codec.tokenizer.eos_id]
    served.walk(good, list(answered.token_ids))
