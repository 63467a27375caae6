"""A tiny random model, a compiled vocabulary for it, and what its answers are held to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hangtag.answer import Answer, AnswerCodec
from hangtag.bundle import Bundle
from hangtag.evidence import Evidence
from hangtag.explanation import ExplanationGrammar
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.state import Phase
from serve.decoding.requests import DecodingRequest
from serve.engines.engine import Generation, GenerationRequest
from serve.tokenizer import HuggingFaceTokenizer
from tests.tiny import SENTENCES, build_bundle

SMALL = {
    "block_size": 32,
    "num_gpu_blocks_override": 64,
    "max_num_seqs": 16,
    "max_num_batched_tokens": 512,
    "enforce_eager": True,
    "max_loras": 2,
    "max_cpu_loras": 4,
}
"""Arguments of an engine for a tiny model."""

LISTING = ("Linen camp shirt, relaxed fit", "A breathable shirt for hot days.")


@dataclass(frozen=True)
class Served:
    """`model`: directory of the weights; `vocabularies`: directory of the compiled vocabulary of `codec`."""

    model: Path
    vocabularies: Path
    codec: AnswerCodec

    @classmethod
    def build(cls, directory: Path) -> Served:
        bundle = Bundle.load(build_bundle(directory, adapter=False))
        assert bundle.base is not None
        tokenizer = HuggingFaceTokenizer.load(bundle.base)
        codec = AnswerCodec(tokenizer, bundle.vocabulary, "en", ExplanationGrammar(tokenizer))
        codec.compiled.save(directory / "vocabularies")
        return cls(bundle.base, directory / "vocabularies", codec)

    @property
    def engine(self) -> dict[str, Any]:
        """Arguments of an engine: 16 blocks of 32 tokens, 48 tokens a step."""
        return {
            "max_model_len": 384,
            "block_size": 32,
            "num_gpu_blocks_override": 16,
            "max_num_seqs": 8,
            "max_num_batched_tokens": 48,
            "enable_chunked_prefill": True,
            "enforce_eager": True,
            "dtype": "float32",
            "logprobs_mode": "processed_logprobs",
            "max_logprobs": 1000,
            "seed": 0,
        }

    def request(self, rules: AnswerRules | None = None, **others: Any) -> DecodingRequest:
        rules = rules or AnswerRules(max_tags=3, max_explanation_tokens=24)
        return DecodingRequest(self.codec.compiled.hash, rules, LISTING, **others)

    def prompt(self, text: str = SENTENCES[0], repeat: int = 1) -> dict[str, list[int]]:
        return {"prompt_token_ids": self.codec.tokenizer.encode(text) * repeat}

    def most_tokens(self, request: DecodingRequest) -> int:
        return self.codec.compiled.branches(request.rules).ruled.most_tokens(request.rules)

    def walk(self, request: DecodingRequest, ids: list[int]) -> list[Any]:
        """What the reference allows before each token of an answer, which must be an answer within the rules."""
        constraint = request.constraint(self.codec.compiled, self.codec.grammar)
        state, offered = constraint.start(), []
        for token in ids:
            allowed = constraint.allowed(state)
            assert token in allowed.tokens, f"token {token} after {len(offered)} tokens"
            offered.append(allowed)
            state = constraint.advance(state, token)
        assert state.phase is Phase.DONE, "the answer has no end"
        self._check(self.codec.read(ids), request.rules)
        return offered

    def hold(self, request: GenerationRequest, generation: Generation) -> None:
        """Hold what an engine gave to the reference."""
        asked = DecodingRequest(self.codec.compiled.hash, request.rules, request.quotable, request.prior, request.evidence)
        self.walk(asked, list(generation.ids))

    def _check(self, answer: Answer, rules: AnswerRules) -> None:
        tags = answer.tags
        assert rules.min_tags <= len(tags) <= rules.max_tags
        assert len(set(tags)) == len(tags)
        assert not rules.banned.intersection(tags)
        assert rules.only is None or rules.only.issuperset(tags)
        facets = [self.codec.vocabulary.tags[tag].facet for tag in tags]
        assert all(facets.count(facet) <= most for facet, most in rules.facet_limits.items())
        assert all(len(group.intersection(tags)) <= 1 for group in rules.exclusions)
        assert bool(answer.explanation) is rules.explain


def some_prior() -> TagPrior:
    return TagPrior({0: 2.5, 3: -1.0, 5: 4.0})


def some_evidence() -> Evidence:
    return Evidence({3: "Linen", 1: "shirt"}, 3.0)
