"""The local engine: a transformers model with its PEFT adapter, driven by outlines. It is the reference, for CPUs and tests;
it knows no listing, and one thread runs the model.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import outlines.models.transformers
import torch
from outlines.generator import SteerableGenerator
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from hangtag.bundle import Bundle
from hangtag.constraint import AnswerConstraint
from hangtag.errors import Cancelled, EngineError, HangtagError
from hangtag.state import Phase
from serve.decoding.outlines import ConstraintProcessor
from serve.engines.engine import Generation, GenerationRequest, most_tokens
from serve.tokenizer import HuggingFaceTokenizer

GATHERING_SECONDS = 0.010
LARGEST_BATCH = 32


class IdModel(outlines.models.transformers.Transformers):  # type: ignore[misc]
    """Outlines' model for prompts that are ids already: its own would parse special tokens that a stranger wrote, and apply
    the chat template a second time."""

    def generate_batch(self, model_input: Sequence[Sequence[int]], output_type: Any = None, **options: Any) -> torch.Tensor:
        """(rows, new tokens) ids; prompts are padded on the left."""
        pad = self.tokenizer.pad_token_id
        width = max(map(len, model_input))
        ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in model_input])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in model_input])
        inputs = {"input_ids": ids.to(self.model.device), "attention_mask": mask.to(self.model.device)}
        processors = self.type_adapter.format_output_type(output_type)
        generated: torch.Tensor = self._generate_output_seq(None, inputs, logits_processor=processors, **options)
        return generated


class _RowsDone(StoppingCriteria):  # type: ignore[misc]
    """Stops each row by itself: the batch ends when nobody is left."""

    def __init__(self, processor: ConstraintProcessor, rows: int) -> None:
        self._processor, self._rows = processor, rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self._processor.observe(input_ids[:, -1].tolist())
        done = [self._processor.is_done(row) for row in range(self._rows)]
        return torch.tensor(done, device=input_ids.device)


@dataclass(slots=True, eq=False)
class _Job:
    request: GenerationRequest
    future: Future[Generation] = field(default_factory=Future)
    cancelled: threading.Event = field(default_factory=threading.Event)


class LocalEngine:
    """Batches of concurrent callers, gathered for at most GATHERING_SECONDS. Greedy: the same request, the same answer."""

    def __init__(self, model: PreTrainedModel, tokenizer: HuggingFaceTokenizer) -> None:
        model.eval()
        # the model's own may change scores (repetition_penalty and others), and probabilities would be something else
        model.generation_config = GenerationConfig(
            max_length=None, eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.transformers.pad_token_id
        )
        self._outlines = IdModel(model, tokenizer.transformers)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self.batches = 0
        """Batches begun so far."""
        self._worker = threading.Thread(target=self._work, name="hangtag-local-engine", daemon=True)
        self._worker.start()

    @classmethod
    def load(cls, bundle: Bundle, tokenizer: HuggingFaceTokenizer, *, device: str | None = None) -> LocalEngine:
        """The engine for a bundle's base and adapter, on a GPU where there is one. Raises `EngineError`."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        source = str(bundle.base) if bundle.base is not None else bundle.hub
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                source,
                revision=bundle.revision,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            if missing := info["missing_keys"]:
                raise EngineError(f"{bundle.directory}: the base has no weights for {min(missing)}; it would answer at random")
            if bundle.adapter is not None:
                from peft import PeftModel

                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "Found missing adapter keys")
                    model = PeftModel.from_pretrained(model, str(bundle.adapter)).merge_and_unload()
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UserWarning) as error:
            raise EngineError(f"{bundle.directory}: the model can't be loaded: {error}") from error
        return cls(model.to(device), tokenizer)

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        job = _Job(request)
        with self._closing:  # nothing is put behind the end of the queue, where nobody would answer it
            if self._closed:
                raise EngineError("the engine is closed")
            self._jobs.put(job)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.cancelled.set()
            raise

    async def close(self) -> None:
        """See `Engine`."""
        with self._closing:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._worker.join)

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, open_ = self._gather(first)
            self._run(jobs)
            if not open_:
                break
        while not self._jobs.empty():
            if (left := self._jobs.get()) is not None:
                _fail(left, EngineError("the engine is closed"))

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """The first job and those that come within GATHERING_SECONDS; and whether the engine stays open."""
        jobs, deadline = [first], time.monotonic() + GATHERING_SECONDS
        while len(jobs) < LARGEST_BATCH:
            try:
                job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return jobs, True
            if job is None:
                return jobs, False
            jobs.append(job)
        return jobs, True

    def _run(self, jobs: list[_Job]) -> None:
        running: list[tuple[_Job, AnswerConstraint]] = []
        for job in jobs:
            if job.cancelled.is_set() or not job.future.set_running_or_notify_cancel():
                continue
            try:
                running.append((job, job.request.constraint()))
            except HangtagError as error:
                _fail(job, error)
            except Exception as error:  # the worker must outlive whatever a request holds
                _fail(job, EngineError(f"the request can't be run: {type(error).__name__}: {error}"), cause=error)
        if not running:
            return
        self.batches += 1
        try:
            for (job, _), generation in zip(running, self._generate(running), strict=True):
                _finish(job, generation)
        except Exception as error:  # the worker must outlive whatever a model or a library does
            for job, _ in running:
                _fail(job, EngineError(f"the model failed: {type(error).__name__}: {error}"), cause=error)

    def _generate(self, running: list[tuple[_Job, AnswerConstraint]]) -> list[Generation | None]:
        jobs = [job for job, _ in running]
        processor = ConstraintProcessor(
            [constraint for _, constraint in running], lambda row: self._closed or jobs[row].cancelled.is_set()
        )
        generator = SteerableGenerator.from_processor(self._outlines, processor)
        with torch.inference_mode():
            generator.batch(
                [job.request.prompt for job in jobs],
                max_new_tokens=max(most_tokens(job.request.codec, job.request.rules) for job in jobs),
                do_sample=False,
                stopping_criteria=StoppingCriteriaList([_RowsDone(processor, len(jobs))]),
            )
        answers = zip(processor.states, processor.ids, processor.logprobs, processor.unbiased, strict=True)
        return [
            Generation(tuple(ids), tuple(logprobs), tuple(unbiased)) if state.phase is Phase.DONE else None
            for state, ids, logprobs, unbiased in answers
        ]


def _finish(job: _Job, generation: Generation | None) -> None:
    if generation is None:
        _fail(job, Cancelled("the caller went away") if job.cancelled.is_set() else EngineError("the engine is closed"))
    else:
        job.future.set_result(generation)


def _fail(job: _Job, error: HangtagError, *, cause: BaseException | None = None) -> None:
    error.__cause__ = cause
    with suppress(InvalidStateError):  # its caller went away, at whatever moment
        job.future.set_exception(error)
