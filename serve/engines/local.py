"""The local engine: a transformers model with its PEFT adapter, driven by outlines. It is the reference, for CPUs and tests;
it knows no listing, and one thread runs the model.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import outlines.models.transformers
import torch
from outlines.generator import SteerableGenerator
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from hangtag.bundle import Bundle
from hangtag.constraint import AnswerConstraint
from hangtag.errors import Cancelled, EngineError, HangtagError, InvalidBundle
from hangtag.state import Phase
from serve.decoding.outlines import ConstraintProcessor
from serve.engines.adapters import AdapterNames
from serve.engines.engine import Generation, GenerationRequest, check_context, most_tokens
from serve.engines.weights import load_model
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
    """Stops each row by itself: the batch ends when nobody is left. Who listens hears every token of its row."""

    def __init__(self, processor: ConstraintProcessor, jobs: Sequence[_Job]) -> None:
        self._processor, self._jobs = processor, jobs

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self._processor.observe(input_ids[:, -1].tolist())
        for row, job in enumerate(self._jobs):
            if job.heard is not None:
                job.hear(_generation(self._processor, row))
        done = [self._processor.is_done(row) for row in range(len(self._jobs))]
        return torch.tensor(done, device=input_ids.device)


@dataclass(slots=True, eq=False)
class _Job:
    request: GenerationRequest
    heard: Callable[[Generation], object] | None = None
    future: Future[Generation] = field(default_factory=Future)
    cancelled: threading.Event = field(default_factory=threading.Event)
    _told: int = 0

    def hear(self, so_far: Generation) -> None:
        """Pass on what is new."""
        if self.heard is not None and len(so_far.ids) > self._told:
            new = slice(self._told, None)
            self._told = len(so_far.ids)
            with suppress(RuntimeError):  # its caller's loop is closed: nobody listens
                self.heard(Generation(so_far.ids[new], so_far.logprobs[new], so_far.unbiased[new]))


class LocalEngine:
    """Batches of concurrent callers, gathered for at most GATHERING_SECONDS. Greedy: the same request, the same answer.

    Each adapter is a model of its own in memory, made by `load` from the adapter's directory; without `load` there are none."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: HuggingFaceTokenizer,
        load: Callable[[Path], PreTrainedModel] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._load = load
        self._context = int(model.config.max_position_embeddings)
        self._models: dict[str | None, IdModel] = {None: self._runnable(model)}
        self._adapters = AdapterNames()
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
        load = partial(load_model, bundle, device=device)
        return cls(load(bundle.adapter), tokenizer, load)

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        job = _Job(request)
        with self._adapters.using(request.adapter):
            self._put(job)
            try:
                return await asyncio.wrap_future(job.future)
            except asyncio.CancelledError:
                job.cancelled.set()
                raise

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        """See `ServingEngine`."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Generation | None] = asyncio.Queue()
        job = _Job(request, lambda piece: loop.call_soon_threadsafe(pieces.put_nowait, piece))
        with self._adapters.using(request.adapter):
            self._put(job)
            answer = asyncio.wrap_future(job.future)
            answer.add_done_callback(lambda _: pieces.put_nowait(None))
            try:
                while (piece := await pieces.get()) is not None:
                    yield piece
                await answer
            finally:
                job.cancelled.set()
                answer.cancel()

    async def load_adapter(self, name: str, directory: Path) -> None:
        """See `ServingEngine`."""
        if self._load is None:
            raise EngineError("this engine was made of a model alone; it can't load adapters")
        with self._adapters.adding(name, directory):
            try:
                model = await asyncio.to_thread(self._load, directory)
            except EngineError as error:
                if isinstance(error.__cause__, torch.OutOfMemoryError):
                    raise
                raise InvalidBundle(str(error)) from error
            self._models[name] = self._runnable(model)

    async def unload_adapter(self, name: str) -> None:
        """See `ServingEngine`."""
        await self._adapters.remove(name).idle()
        del self._models[name]

    def troubles(self) -> tuple[str, ...]:
        """See `ServingEngine`."""
        return ("the engine is closed",) if self._closed else ()

    async def metrics(self) -> str:
        """See `ServingEngine`."""
        return ""

    def _runnable(self, model: PreTrainedModel) -> IdModel:
        tokenizer = self._tokenizer.transformers
        model.eval()
        # the model's own may change scores (repetition_penalty and others), and probabilities would be something else
        model.generation_config = GenerationConfig(
            max_length=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
        return IdModel(model, tokenizer)

    def _put(self, job: _Job) -> None:
        check_context(job.request, self._context)
        with self._closing:  # nothing is put behind the end of the queue, where nobody would answer it
            if self._closed:
                raise EngineError("the engine is closed")
            self._jobs.put(job)

    async def close(self) -> None:
        """See `Engine`."""
        with self._closing:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._worker.join)

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, open_ = self._gather(first)
            for adapter in dict.fromkeys(job.request.adapter for job in jobs):
                self._run([job for job in jobs if job.request.adapter == adapter])
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
        generator = SteerableGenerator.from_processor(self._models[jobs[0].request.adapter], processor)
        with torch.inference_mode():
            generator.batch(
                [job.request.prompt for job in jobs],
                max_new_tokens=max(most_tokens(job.request.codec, job.request.rules) for job in jobs),
                do_sample=False,
                stopping_criteria=StoppingCriteriaList([_RowsDone(processor, jobs)]),
            )
        return [_generation(processor, row) if state.phase is Phase.DONE else None for row, state in enumerate(processor.states)]


def _generation(processor: ConstraintProcessor, row: int) -> Generation:
    """What is there of a row."""
    return Generation(tuple(processor.ids[row]), tuple(processor.logprobs[row]), tuple(processor.unbiased[row]))


def _finish(job: _Job, generation: Generation | None) -> None:
    if generation is None:
        _fail(job, Cancelled("the caller went away") if job.cancelled.is_set() else EngineError("the engine is closed"))
    else:
        job.future.set_result(generation)


def _fail(job: _Job, error: HangtagError, *, cause: BaseException | None = None) -> None:
    error.__cause__ = cause
    with suppress(InvalidStateError):  # its caller went away, at whatever moment
        job.future.set_exception(error)
