"""What an engine is: token ids in, token ids and their log-probabilities out, within the rules. It knows no listing and no
HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hangtag.answer import AnswerCodec
from hangtag.constraint import AnswerConstraint
from hangtag.evidence import Evidence
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """One answer to generate. `quotable` are the lines that its explanation may quote, `evidence` what of them it
    should rather quote."""

    prompt: tuple[int, ...]
    codec: AnswerCodec
    rules: AnswerRules
    quotable: tuple[str, ...] = ()
    prior: TagPrior = field(default_factory=TagPrior)
    evidence: Evidence = field(default_factory=Evidence)

    def constraint(self) -> AnswerConstraint:
        """The constraint of the answer. Raises `InvalidRules`."""
        quotable = QuotableText(self.quotable, self.codec.grammar)
        return AnswerConstraint(self.codec.compiled, self.rules, quotable, self.prior, self.evidence)


@dataclass(frozen=True, slots=True)
class Generation:
    """The ids of an answer, its end included, and the log-probability of each after the mask at temperature 1 (nats). `unbiased`
    is for each the token that would have won without prior and evidence, for `hangtag.influence`; empty from an engine that
    can't say."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    unbiased: tuple[int, ...] = ()


class Engine(Protocol):
    """Runs one model. `generate` may be called by any number of tasks at once; cancelling a task stops its work within a
    token. Failures of the library underneath are raised as `EngineError`."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Generate one answer."""
        ...

    async def close(self) -> None:
        """Stop, and free what the engine holds; what is running is cancelled."""
        ...


def most_tokens(codec: AnswerCodec, rules: AnswerRules) -> int:
    """The most tokens that an answer within the rules can have."""
    return codec.compiled.branches(rules).ruled.most_tokens(rules)
