"""The canary: four short answers that prove that an engine constrains what it generates, before anybody relies on it. It knows
what a constraint does to tokens and probabilities, and not how an engine is asked.

The same prompt is answered with one tag only and with another only, which no engine without the mask can do; where one token
is allowed, its log-probability must be that after the mask; and a prior over two tags must move them apart by its weight, which
it does not where it is left out or counts twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hangtag.answer import AnswerCodec
from hangtag.errors import EngineError, InvalidAnswer
from hangtag.explanation import ExplanationGrammar
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.tokenizer import Tokenizer
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary
from serve.engines.engine import GenerationRequest
from serve.engines.sampled import AnswerReader, Sampled

PROMPT = "canary"
WEIGHT = 4.0
"""Nats of the prior; in bfloat16 a model's own logits differ by tenths from batch to batch."""
TOLERANCE = 1.0

Ask = Callable[[GenerationRequest, int], Awaitable[Sampled]]
"""Answers a request greedily, with so many of the likeliest tokens at each step."""


def canary_codec(tokenizer: Tokenizer, grammar: ExplanationGrammar) -> AnswerCodec:
    """A vocabulary for an engine that is given its vocabularies by us."""
    tags = [Tag(label, {ANY_LANGUAGE: label}) for label in ("one", "two")]
    return AnswerCodec(tokenizer, TagVocabulary("canary", tags), "en", grammar)


async def prove(ask: Ask, codec: AnswerCodec, adapter: str | None = None) -> None:
    """Raises `EngineError` that says what the engine does not keep to, and what `ask` raises."""
    prompt, last = tuple(codec.tokenizer.encode(PROMPT)), len(codec.vocabulary) - 1

    def request(*tags: int, prior: TagPrior | None = None) -> GenerationRequest:
        rules = AnswerRules(min_tags=1, max_tags=1, explain=False, only=frozenset(tags))
        return GenerationRequest(prompt, codec, rules, prior=prior or TagPrior(), adapter=adapter)

    singles = [request(tag) for tag in sorted({0, last})]
    pair = [request(0, last, prior=prior) for prior in (TagPrior(), TagPrior({0: WEIGHT}))] if last else []
    answers = await asyncio.gather(*(ask(asked, 2) for asked in (*singles, *pair)))
    for asked, answer in zip((*singles, *pair), answers, strict=True):
        _read(asked, answer)
    for answer in answers[: len(singles)]:
        if min(answer.logprobs) < -0.01:
            raise EngineError(
                "it gives log-probabilities from before the mask, so that no confidence could be told; start it with"
                " --logprobs-mode processed_logprobs"
            )
    if pair:
        _compare_priors(pair, answers[len(singles) :])


def _read(request: GenerationRequest, answer: Sampled) -> None:
    reader = AnswerReader(request)
    try:
        reader.take(answer)
        reader.finish()
    except InvalidAnswer as error:
        raise EngineError(f"it does not keep answers within the vocabulary ({error})") from error


def _compare_priors(requests: list[GenerationRequest], answers: list[Sampled]) -> None:
    plain, biased = (request.constraint() for request in requests)
    position, state = 0, plain.start()
    while len((allowed := plain.allowed(state)).tokens) == 1:  # two tags part somewhere
        position, state = position + 1, plain.advance(state, answers[0].ids[position])
    one, other = allowed.tokens.tolist()
    bias = biased.allowed(state).bias
    try:
        apart = [answer.likeliest[position][one] - answer.likeliest[position][other] for answer in answers]
    except KeyError as error:
        raise EngineError("it does not say how likely the two tokens are that it may choose from") from error
    moved, expected = apart[1] - apart[0], float(bias[0] - bias[1])
    if abs(moved - expected) > TOLERANCE:
        raise EngineError(
            f"a prior of {expected:g} nats moved two tags apart by {moved:.2f}; is hangtag's logits processor loaded twice, or"
            " does the server change temperature or penalties?"
        )
