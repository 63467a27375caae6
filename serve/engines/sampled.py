"""What vLLM says of the tokens that it sampled, read as a `Generation`: the same for an engine in this process and for servers.
It holds the tags of what servers say to the rules once more; it knows no vLLM and no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hangtag.answer import AnswerCodec
from hangtag.constraint import Allowed, AnswerConstraint
from hangtag.errors import InvalidAnswer
from hangtag.masks import Scratch
from hangtag.quotes import QuotableText
from hangtag.state import InTags
from serve.decoding.requests import DecodingRequest, Value, write
from serve.engines.engine import Generation, GenerationRequest

COMPARED = 8
"""Tokens of which vLLM is asked for the log-probability where a prior may have changed which one won."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Some tokens in a row: the log-probability of each after the mask and the biases, and those of the likeliest tokens there,
    which may lack the sampled one. `cached`: see `Generation`."""

    ids: Sequence[int]
    logprobs: Sequence[float]
    likeliest: Sequence[Mapping[int, float]]
    cached: int | None = None


def extra_args(request: GenerationRequest) -> dict[str, Value]:
    """What a request carries to vLLM. Where nothing is explained nothing is quoted, and the listing stays at home."""
    explain = request.rules.explain
    return write(
        DecodingRequest(
            vocabulary=request.codec.compiled.hash,
            rules=request.rules,
            listing=request.quotable if explain else (),
            prior=request.prior,
            **({"evidence": request.evidence} if explain else {}),
        )
    )


def compared(request: GenerationRequest) -> int:
    """How many of the likeliest tokens to ask for at each step."""
    return COMPARED if request.compare and any(request.prior.weights.values()) else 0


class AnswerReader:
    """Reads one answer as it comes; one that is `trusted`, of an engine that the canary has proven and that nobody else can
    change, is not held to the rules again. Raises `InvalidRules` for a request that can't be kept."""

    def __init__(self, request: GenerationRequest, *, trusted: bool = False) -> None:
        self._codec: AnswerCodec = request.codec
        # explanations are not held to anything here, and getting ready to quote costs more than all steps of the tags
        rules, nothing = replace(request.rules, explain=False), QuotableText((), request.codec.grammar)
        self._constraint = AnswerConstraint(request.codec.compiled, rules, nothing, request.prior)
        self._state = self._constraint.start()
        self._scratch = Scratch(request.codec.tokenizer.size)
        self._compares, self._trusted = request.compare, trusted
        self._ids: list[int] = []

    def take(self, sampled: Sampled) -> Generation:
        """The next tokens. Raises `InvalidAnswer` for one that can't follow, and at the end for what is no answer."""
        if self._trusted and not self._compares:
            self._ids += sampled.ids
            return Generation(tuple(sampled.ids), tuple(sampled.logprobs), cached=sampled.cached)
        winners: list[int | None] = []
        for token, logprob, likeliest in zip(sampled.ids, sampled.logprobs, sampled.likeliest, strict=True):
            winner: int | None = token
            if isinstance(self._state, InTags):
                if not self._may_follow(token):
                    raise InvalidAnswer(f"token {token} at {len(self._ids)} was not allowed; the engine does not keep the rules")
                if self._compares:
                    winner = without_bias(self._constraint.allowed(self._state), token, {**likeliest, token: logprob})
                self._state = self._constraint.advance(self._state, token)
            self._ids.append(token)
            winners.append(winner)
        if self._ids and self._ids[-1] == self._codec.eos_id:
            self._codec.read(self._ids)
        unbiased = tuple(winner for winner in winners if winner is not None) if self._compares else ()
        self._compares &= len(unbiased) == len(winners)
        return Generation(tuple(sampled.ids), tuple(sampled.logprobs), unbiased if self._compares else (), sampled.cached)

    def finish(self) -> None:
        """Raises `InvalidAnswer` where what was taken has no end."""
        if not self._ids or self._ids[-1] != self._codec.eos_id:
            raise InvalidAnswer("the answer has no end")

    def _may_follow(self, token: int) -> bool:
        if not 0 <= token < self._codec.tokenizer.size:
            return False
        return bool(int(self._constraint.mask(self._state, self._scratch)[token >> 5]) >> (token & 31) & 1)


def without_bias(allowed: Allowed, chosen: int, logprobs: Mapping[int, float]) -> int | None:
    """The token that would have won without the biases; `chosen` where it is among the best. None where the tokens that
    `logprobs` (after the biases) does not have might have won: they are at most as likely as the least of those."""
    if not np.ptp(allowed.bias) > 0:
        return chosen
    bias = dict(zip(allowed.tokens.tolist(), allowed.bias.tolist(), strict=True))
    plain = {token: logprob - bias[token] for token, logprob in logprobs.items() if token in bias}
    best = max(plain, key=plain.__getitem__)
    if len(plain) < len(bias):
        others = min(bias[token] for token in bias if token not in plain)
        if min(logprobs[token] for token in plain) - others > plain[best]:
            return None
    return chosen if plain[chosen] >= plain[best] else best
