"""Answers of vLLM held to a vocabulary, against the same engine held to nothing: hangtag's processor and the grammar backends
that vLLM brings. It knows engines and clocks; the requests are those that the `Suggester` makes.

Every way of decoding is measured in an engine that is configured for it, in turns with unconstrained requests: the same prompts,
and for each as many tokens as the held answer had. What disturbs the machine then disturbs both.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from eval.speed.requests import Asked, Asker
from hangtag.errors import EngineError, HangtagError
from hangtag.vocabulary import ANY_LANGUAGE, TagVocabulary
from serve.engines.engine import GenerationRequest
from serve.engines.vllm import VllmEngine

HANGTAG, BACKENDS = "hangtag", ("guidance", "xgrammar")
MOST_JSON_TOKENS = 256
"""Five of the longest labels as JSON have fewer."""

BLOCKS = 2048
LOGPROBS = {"logprobs": 0, "flat_logprobs": True}
"""Of the sampled tokens, as answers have them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`asked` are timed, `written` are compared with JSON, and `askers`, by the names of their prompts, ask for what comes from
    the cache; none has more than `context` tokens. `requests` a round, from `callers` at a time; `limit` the seconds after which
    a round is stopped."""

    asked: Sequence[Asked]
    written: Sequence[Asked]
    askers: Mapping[str, Asker]
    context: int
    requests: int = 512
    callers: int = 128
    rounds: int = 3
    limit: float = 120.0
    backends: Sequence[str] = BACKENDS


@dataclass(slots=True)
class Row:
    """Tokens and seconds of each round of `requests`, and the seconds of the unconstrained ones beside it: without
    log-probabilities, and with them where answers have some for their confidence. `note` says why there are no more."""

    engine: str
    tags: int
    explains: bool
    requests: int = 0
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    unconstrained: list[float] = field(default_factory=list)
    with_logprobs: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Tokens a second."""
        return sum(self.tokens) / sum(self.seconds) if self.seconds else None

    @property
    def answers(self) -> float | None:
        """Answers a second."""
        return self.requests * len(self.seconds) / sum(self.seconds) if self.seconds else None

    @property
    def share(self) -> float | None:
        """Of the unconstrained rate: the median of the rounds."""
        return _share(self.unconstrained, self.seconds)

    @property
    def share_with_logprobs(self) -> float | None:
        """Of the unconstrained rate with log-probabilities: what keeping to a vocabulary costs, without what confidence does."""
        return _share(self.with_logprobs, self.seconds)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer costs: the median of its tokens as a share of those of the same answer as JSON."""

    vocabulary: str
    explains: bool
    share: float


@dataclass(frozen=True, slots=True)
class Cached:
    """What an event costs: the tokens of a prompt, and how many of them come from the cache though it has other interests than
    the one before; medians. `block` is what the cache knows together."""

    prompt: str
    tokens: int
    share: float
    block: int


@dataclass(frozen=True, slots=True)
class Ask:
    """How one request of a round is asked: gives the tokens of the answer."""

    held: Callable[[int], Awaitable[Sequence[int]]]
    plain: Callable[..., Awaitable[object]]


Figure = Row | Tokens | Cached


def _share(plain: Sequence[float], held: Sequence[float]) -> float | None:
    return median(one / other for one, other in zip(plain, held, strict=True)) if plain else None


def run(plan: Plan, load: Callable[[dict[str, Any]], VllmEngine], report: Callable[[str], None]) -> Iterator[Figure]:
    """Measure; gives each figure when it is there. `load` starts an engine with more arguments for vLLM."""
    for name in (HANGTAG, *plan.backends):
        report(f"{name}: starting")
        options: dict[str, Any] = {"num_gpu_blocks_override": BLOCKS, "max_num_seqs": plan.callers, "max_model_len": plan.context}
        if name != HANGTAG:
            # said of a request alone it is not heard, and the model then writes blanks until it may not any more
            options["structured_outputs_config"] = {"backend": name, "disable_any_whitespace": True}
        engine = load(options)
        try:
            for asked in plan.asked:
                if name == HANGTAG or not asked.explains:
                    report(f"{name}: {len(asked.vocabulary):,} tags{', explained' if asked.explains else ''}")
                    yield asyncio.run(_measure(plan, engine, name, asked))
            if name == HANGTAG:
                report("tokens of answers and prompts")
                yield from (asyncio.run(tokens(engine, asked)) for asked in plan.written)
                yield from (asyncio.run(cached(engine, asker, prompt)) for prompt, asker in plan.askers.items())
        finally:
            asyncio.run(engine.close())


async def tokens(engine: VllmEngine, asked: Asked) -> Tokens:
    """Answers all requests once; JSON is written as `json.dumps` does and as models do, with blanks after commas and colons."""
    answers = await asyncio.gather(*map(engine.generate, asked.requests))
    shares = []
    for request, generation in zip(asked.requests, answers, strict=True):
        answer = request.codec.read(generation.ids)
        plain: dict[str, Any] = {"tags": [request.codec.written[tag] for tag in answer.tags]}
        if asked.explains:
            plain["explanation"] = answer.explanation
        as_json = request.codec.tokenizer.encode(json.dumps(plain, ensure_ascii=False))
        shares.append(len(generation.ids) / (len(as_json) + 1))  # both have an end
    return Tokens(asked.vocabulary.name, asked.explains, median(shares))


async def cached(engine: VllmEngine, asker: Asker, name: str) -> Cached:
    """Asks for every listing after one event and after another."""
    lengths, shares = [], []
    for number in range(len(asker)):
        before, after = [await asker.request(number, explains=True, profile=asker.profile(number + event)) for event in (0, 1)]
        await engine.unheld(before.prompt, max_tokens=1)
        found = await engine.unheld(after.prompt, max_tokens=1)
        lengths.append(len(after.prompt))
        shares.append(found.cached / len(after.prompt))
    return Cached(name, int(median(lengths)), median(shares), engine.block_size)


async def _measure(plan: Plan, engine: VllmEngine, name: str, asked: Asked) -> Row:
    row = Row(name, len(asked.vocabulary), asked.explains, plan.requests)
    ask = _ours(engine, asked.requests) if name == HANGTAG else _theirs(engine, asked.requests, asked.vocabulary)
    numbers = [number % len(asked.requests) for number in range(plan.requests)]
    try:
        async with asyncio.timeout(plan.limit):
            await _round(ask.held, [(number,) for number in numbers[: plan.callers]], plan.callers)  # compiles, fills caches
        for _ in range(plan.rounds):
            async with asyncio.timeout(plan.limit):
                seconds, answers = await _round(ask.held, [(number,) for number in numbers], plan.callers)
            counts = [len(answer) for answer in answers]
            same = list(zip(numbers, counts, strict=True))
            plain, _ = await _round(ask.plain, same, plan.callers)
            if name == HANGTAG:
                logged, _ = await _round(partial(ask.plain, **LOGPROBS), same, plan.callers)
                row.with_logprobs.append(logged)
            row.tokens.append(sum(counts))
            row.seconds.append(seconds)
            row.unconstrained.append(plain)
    except TimeoutError:
        row.note = f"stopped at {plan.limit:g} s"
    except HangtagError as error:
        row.note = str(error)
    return row


async def _round(ask: Callable[..., Awaitable[Any]], items: Sequence[tuple[int, ...]], callers: int) -> tuple[float, list[Any]]:
    """Seconds and answers of requests from `callers`, each with the next one as soon as it has its answer."""
    answers: list[Any] = [None] * len(items)
    numbers = iter(range(len(items)))

    async def call() -> None:
        for number in numbers:
            answers[number] = await ask(*items[number])

    begun = time.perf_counter()
    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return time.perf_counter() - begun, answers


def _ours(engine: VllmEngine, requests: Sequence[GenerationRequest]) -> Ask:
    async def held(number: int) -> Sequence[int]:
        return (await engine.generate(requests[number])).ids

    return Ask(held, _plain(engine, requests))


def _theirs(engine: VllmEngine, requests: Sequence[GenerationRequest], vocabulary: TagVocabulary) -> Ask:
    from vllm.sampling_params import StructuredOutputsParams

    rules = requests[0].rules
    labels = [tag.label(ANY_LANGUAGE) for tag in vocabulary]
    tags = {"type": "array", "items": {"enum": labels}, "minItems": rules.min_tags, "maxItems": rules.max_tags}
    schema = {"type": "object", "properties": {"tags": tags}, "required": ["tags"], "additionalProperties": False}
    held = StructuredOutputsParams(json=schema)

    async def ask(number: int) -> Sequence[int]:
        parameters = {"structured_outputs": held, "max_tokens": MOST_JSON_TOKENS}
        ids = (await engine.unheld(requests[number].prompt, **parameters)).ids
        if len(ids) == MOST_JSON_TOKENS:
            raise EngineError(f"an answer has no end after {MOST_JSON_TOKENS} tokens")
        return ids

    return Ask(ask, _plain(engine, requests))


def _plain(engine: VllmEngine, requests: Sequence[GenerationRequest]) -> Callable[..., Awaitable[object]]:
    async def ask(number: int, tokens: int, **parameters: Any) -> object:
        return await engine.unheld(requests[number].prompt, max_tokens=tokens, ignore_eos=True, **parameters)

    return ask
