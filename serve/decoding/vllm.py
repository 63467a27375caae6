"""The constraint as a logits processor of vLLM 0.32: ONE class for its two model runners, found by the entry-point group
`vllm.logits_processors`. It knows when vLLM calls what and which configurations it can't work in; it knows no masks.

Where vLLM would leave the processor out in silence, or could not give it the tokens it needs, the engine does not start: in
the workers the processor refuses when it is made, in the front end `ConfigurationGuard` does, which vLLM makes with every
`AsyncLLM` as a plugin of the group `vllm.stat_logger_plugins` (for V1 with speculative decoding it makes no processor at all,
so that nothing else would notice). A front end without that guard (the synchronous `LLM`, `VLLM_PLUGINS` set to other names)
refuses every request until `prepare` is called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from vllm import envs
from vllm.exceptions import VLLMValidationError
from vllm.platforms import current_platform
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.sample.logits_processor import LogitsProcessor as FirstRunnerProcessor
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as SecondRunnerProcessor
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcRequestState

from hangtag.errors import HangtagError, InvalidInput, InvalidSettings
from serve.decoding.requests import DecodingRequest, is_ours, read
from serve.decoding.vllm_rows import FirstRunnerRows, SecondRunnerRows
from serve.decoding.vllm_vocabularies import DIRECTORY_OPTION, DIRECTORY_VARIABLE, ServedVocabularies, served_vocabularies

NAME = "serve.decoding.vllm:HangtagLogitsProcessor"

BREAKING = {
    "allowed_token_ids": "it allows tokens of its own",
    "bad_words": "it forbids tokens that an answer may need",
    "ignore_eos": "the answer would go on after its end",
    "min_tokens": "it forbids the end where nothing else may come",
    "repetition_detection": "it may end the answer before its end",
    "stop": "it may end the answer before its end",
    "stop_token_ids": "it may end the answer before its end",
    "structured_outputs": "it allows tokens of its own",
    "thinking_token_budget": "it forces tokens that are no answer",
    "trace_decode_token_ids": "it forces tokens that are no answer",
}
"""Sampling parameters that break an answer, and why."""


def check_configuration(vllm_config: Any) -> None:
    """Raises `InvalidSettings` for a `VllmConfig` with which answers could not be constrained; says what to change."""
    model = vllm_config.model_config
    if model.runner_type == "pooling":
        return  # nothing is generated
    if vllm_config.speculative_config is not None:
        raise InvalidSettings(
            "hangtag's logits processor can't work with speculative decoding (vLLM would leave it out without a word, and answers"
            " would not be constrained); start without --speculative-config, or uninstall hangtag from this environment"
        )
    if model.is_diffusion or current_platform.is_tpu():
        raise InvalidSettings(
            "vLLM runs no logits processors for diffusion models and on TPUs, so answers would not be constrained; serve another"
            " model, or uninstall hangtag from this environment"
        )
    if envs.VLLM_USE_RUST_FRONTEND:
        raise InvalidSettings(
            "vLLM's Rust front end asks no logits processor whether a request can be kept; unset VLLM_USE_RUST_FRONTEND, or"
            " uninstall hangtag from this environment"
        )
    if vllm_config.scheduler_config.async_scheduling and not vllm_config.use_v2_model_runner and not model.logits_processors:
        raise InvalidSettings(
            "with asynchronous scheduling vLLM's model runner V1 hides the tokens it generated from logits processors that come"
            f" by entry point; name hangtag's (--logits-processors {NAME}), or start with --no-async-scheduling"
        )


def prepare(vllm_config: Any) -> None:
    """Check the configuration of an engine, and load what its requests are validated against in this process.

    `ConfigurationGuard` does it for every `AsyncLLM`; call it after making an `LLM`: `prepare(llm.llm_engine.vllm_config)`.
    Raises what `check_configuration` and `served_vocabularies` raise.
    """
    check_configuration(vllm_config)
    HangtagLogitsProcessor.prepared = True
    if vllm_config.model_config.runner_type != "pooling" and (served := _vocabularies(vllm_config)) is not None:
        HangtagLogitsProcessor.served[served.grammar.tokenizer_hash] = served


class HangtagLogitsProcessor(FirstRunnerProcessor, SecondRunnerProcessor):  # type: ignore[misc]
    """Constrains the requests that name a compiled vocabulary (`serve.decoding.requests`), and leaves the logits of all others
    as they are. Where it is loaded twice (by entry point and by name), the second does nothing.
    """

    prepared: ClassVar[bool] = False
    served: ClassVar[dict[str, ServedVocabularies]] = {}
    """What the engines of this process serve, by the hash of their tokenizer; for `validate_params`, which vLLM tells nothing."""

    def __init__(self, vllm_config: Any, place: Any, is_pin_memory: bool = False) -> None:
        """`place` is the device for V1 and a `LogitsProcRequestState` for V2. Raises what `prepare` raises."""
        check_configuration(vllm_config)
        vocabularies, width = _vocabularies(vllm_config), vllm_config.model_config.get_vocab_size()
        self._first: FirstRunnerRows | None = None
        self._second: SecondRunnerRows | None = None
        if not isinstance(place, LogitsProcRequestState):
            rows = vllm_config.scheduler_config.max_num_seqs
            self._first = FirstRunnerRows(vocabularies, rows, width, place, is_pin_memory)
        elif self._is_first_to_claim(place):
            self._second = SecondRunnerRows(vocabularies, place, width)

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Called in the front end before a request is admitted. Raises `VLLMValidationError` (no `ValueError`; over HTTP status
        400) with the name of the parameter: one that `read` refuses, an unknown vocabulary or one for another tokenizer, rules
        that can't be kept, too few tokens for the longest answer, sampling parameters that break an answer."""
        if not is_ours(sampling_params.extra_args):
            return
        try:
            request = read(sampling_params.extra_args)
            assert request is not None
            cls._validate(request, sampling_params)
        except HangtagError as error:
            raise VLLMValidationError(str(error), parameter=error.field) from error

    @classmethod
    def _validate(cls, request: DecodingRequest, params: Any) -> None:
        if not cls.prepared:
            raise InvalidSettings(
                "hangtag has not checked how this engine is configured, so it can't promise to constrain the answer; let vLLM"
                " load the plugin `hangtag` (VLLM_PLUGINS), or call serve.decoding.vllm.prepare(vllm_config)"
            )
        if not cls.served:
            raise InvalidSettings(f"this server has no compiled vocabularies: {DIRECTORY_VARIABLE} was not set when it started")
        for name, reason in BREAKING.items():
            if getattr(params, name):
                raise InvalidInput(f"{name} can't be used together with hangtag's parameters: {reason}", field=name)
        served = next(iter(cls.served.values()))
        compiled = served.find(request.vocabulary)
        # the listing is text, as `read` has seen; which spans of it can be quoted is for the worker to find out
        without = replace(request, rules=replace(request.rules, explain=False), listing=())
        constraint = cls.served.get(compiled.tokenizer_hash, served).constraint(without)
        most = compiled.branches(request.rules).ruled.most_tokens(request.rules)
        if params.max_tokens is not None and params.max_tokens < most:
            raise InvalidInput(
                f"max_tokens is {params.max_tokens}, but an answer within the rules can have {most}; it would be cut short",
                field="max_tokens",
            )
        constraint.start()

    def is_argmax_invariant(self) -> bool:
        """V1: no, so it is also applied to greedy requests."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1, before each step: the batch has changed, or None."""
        if batch_update is not None and self._first is not None and self._is_first_to_claim(batch_update):
            self._first.update(batch_update)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """V2: a request comes into a slot, anew or after preemption; whether its logits will be changed."""
        return self._second is not None and self._second.add(req_idx, sampling_params)

    def apply_staged_writes(self) -> None:
        """V2, before each step: what the slots hold is on the device."""
        if self._second is not None:
            self._second.flush()

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """(rows, width) float32, changed in place; `ctx` is V2's `LogitsContext`."""
        if ctx is None:
            assert self._first is not None
            self._first.apply(logits)
        elif self._second is not None:
            self._second.apply(logits, ctx)
        return logits

    def _is_first_to_claim(self, shared: Any) -> bool:
        """Whether no other instance has taken `shared`, an object that vLLM hands to all processors of one engine. The mark is
        on the object itself, so that engines beside or after this one don't disturb each other."""
        return shared.__dict__.setdefault("hangtag_processor", self) is self


class ConfigurationGuard(StatLoggerBase):  # type: ignore[misc]
    """Logs nothing: vLLM makes it with the configuration of every `AsyncLLM`, at its start."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        prepare(vllm_config)

    def record(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def log_engine_initialized(self) -> None:
        """Nothing."""


def _vocabularies(vllm_config: Any) -> ServedVocabularies | None:
    model, others = vllm_config.model_config, vllm_config.additional_config
    directory = str(others.get(DIRECTORY_OPTION, "")) if isinstance(others, dict) else ""
    return served_vocabularies(model.tokenizer or model.model, model.tokenizer_revision, directory)
