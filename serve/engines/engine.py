"""What an engine is: token ids in, token ids and their log-probabilities out, within the rules. It knows no listing and no
HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from hangtag.answer import AnswerCodec
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidInput
from hangtag.evidence import Evidence
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """One answer to generate. `quotable` are the lines that its explanation may quote, `evidence` what of them it
    should rather quote. `adapter` is one that was loaded (`ServingEngine.load_adapter`), None the bundle's own.
    What requests of another `cache_salt` left in a cache of prompts is not reused. `compare`: whether to say what would have
    won without the prior, which costs some engines time at every step."""

    prompt: tuple[int, ...]
    codec: AnswerCodec
    rules: AnswerRules
    quotable: tuple[str, ...] = ()
    prior: TagPrior = field(default_factory=TagPrior)
    evidence: Evidence = field(default_factory=Evidence)
    adapter: str | None = None
    cache_salt: str = ""
    compare: bool = False

    def constraint(self) -> AnswerConstraint:
        """The constraint of the answer. Raises `InvalidRules`."""
        quotable = QuotableText(self.quotable, self.codec.grammar)
        return AnswerConstraint(self.codec.compiled, self.rules, quotable, self.prior, self.evidence)


@dataclass(frozen=True, slots=True)
class Generation:
    """The ids of an answer, its end included, and the log-probability of each after the mask at temperature 1 (nats). `unbiased`
    is for each the token that would have won without prior and evidence, for `hangtag.influence`; empty from an engine that
    can't say or was not asked. `cached` is how many of the prompt's tokens came from a cache, None from an engine that can't say;
    answers are equal without it."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    unbiased: tuple[int, ...] = ()
    cached: int | None = field(default=None, compare=False)

    def __add__(self, later: Generation) -> Generation:
        """What two pieces of one answer are together; `unbiased` is known where both know it."""
        known = len(self.unbiased) == len(self.ids) and len(later.unbiased) == len(later.ids)
        unbiased = self.unbiased + later.unbiased if known else ()
        cached = later.cached if self.cached is None else self.cached
        return Generation(self.ids + later.ids, self.logprobs + later.logprobs, unbiased, cached)


class Engine(Protocol):
    """Runs one model. `generate` may be called by any number of tasks at once; cancelling a task stops its work within a
    token. Failures of the library underneath are raised as `EngineError`."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Generate one answer."""
        ...

    async def close(self) -> None:
        """Stop, and free what the engine holds; what is running is cancelled."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that gives an answer as it comes."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        """The pieces of one answer as they are decided, each with the tokens since the one before; together they are what
        `generate` gives. Leaving the iteration (`aclose`) stops the work."""
        ...


@runtime_checkable
class ServingEngine(StreamingEngine, Protocol):
    """What a server asks of an engine besides answers."""

    async def load_adapter(self, name: str, directory: Path) -> None:
        """Load a LoRA adapter of the engine's base, in PEFT's files; requests may name it once this returns, and the others go
        on meanwhile. A name belongs to one adapter for good, since caches know it by its name. Raises `InvalidInput` for a
        name that was given before, `InvalidBundle` for an adapter that does not fit the base, `EngineError`."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter: new requests that name it are refused at once, those that run are finished first. Raises
        `InvalidInput` for a name that is not loaded."""
        ...

    def troubles(self) -> tuple[str, ...]:
        """What is not in order though the engine may still answer (a server that is down), a sentence each for an operator."""
        ...

    async def metrics(self) -> str:
        """The metrics of the library underneath in Prometheus' text format; empty where it has none of its own."""
        ...


async def pieces_of(engine: Engine, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
    """The pieces of an answer as `StreamingEngine.stream` gives them; from an engine without pieces, the whole as one."""
    if not isinstance(engine, StreamingEngine):
        yield await engine.generate(request)
        return
    async with aclosing(engine.stream(request)) as pieces:
        async for piece in pieces:
            yield piece


def most_tokens(codec: AnswerCodec, rules: AnswerRules) -> int:
    """The most tokens that an answer within the rules can have."""
    return codec.compiled.branches(rules).ruled.most_tokens(rules)


def check_context(request: GenerationRequest, context: int) -> None:
    """Raises `InvalidInput` where the prompt and the longest answer may be more tokens than an engine's context has."""
    most = most_tokens(request.codec, request.rules)
    if len(request.prompt) + most > context:
        raise InvalidInput(
            f"the prompt has {len(request.prompt)} tokens and its answer up to {most}, together more than the engine's context of"
            f" {context}; ask for fewer tags, or send a shorter listing"
        )
