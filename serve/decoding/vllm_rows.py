"""Which rows of a vLLM batch are ours, and what has been generated in each: one class for each of its model runners. They know
how vLLM moves requests about, and nothing of what a constraint allows.

A request keeps its row of the machine for as long as vLLM keeps it in the batch, so nothing is copied when rows move.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from hangtag.errors import InvalidSettings
from serve.decoding.batch import BatchConstraint
from serve.decoding.requests import is_ours
from serve.decoding.vllm_vocabularies import DIRECTORY_VARIABLE, ServedVocabularies

logger = logging.getLogger(__name__)

PATIENCE = 0.0005
"""Seconds that the model waits, on a CPU, to get the interpreter back from the thread that begins requests: it lets go of it at
each of its operations, and Python's own five milliseconds are an eighth of a step."""

NO_ROW = -1
NOT_COPIED = -1
"""What vLLM writes for a token that was sampled and has not reached the host."""


class _Machine:
    """The rows of one engine. A row whose request can't be read in this process (a file that went away, a worker without the
    directory) may only end at once: its answer is then no answer, and the other requests of the engine go on.

    Beginning a request takes longer than all of its steps. On a CPU a thread does it while the model runs, and `settle` waits for
    it; on other devices, whose streams and contexts belong to threads, it is done at once."""

    def __init__(self, vocabularies: ServedVocabularies | None, rows: int, width: int, device: torch.device) -> None:
        self.device = device
        self._vocabularies = vocabularies
        self._width = width
        self._constraints: BatchConstraint | None = None
        if vocabularies is not None:  # at the engine's start, before it measures how much memory is left
            self._constraints = BatchConstraint(vocabularies.grammar, rows, width, device)
        self._refused: dict[int, int] = {}
        self._thread = ThreadPoolExecutor(1, "hangtag-begin", _beside_the_model) if device.type == "cpu" else None
        self._waiting: list[Callable[[], None]] = []
        self._begun: list[Future[None]] = []
        if self._thread is not None:
            sys.setswitchinterval(min(sys.getswitchinterval(), PATIENCE))

    def put(self, row: int, params: Any, tokens: Sequence[int]) -> None:
        """A request comes into `row` by its `SamplingParams`, `tokens` of its answer generated already."""
        self._waiting.append(partial(self._put, row, params, tokens))

    def drop(self, row: int) -> None:
        """The request in `row`, if there is one, is to be forgotten."""
        self._waiting.append(partial(self._drop, row))

    def begin(self) -> None:
        """Do what was put and dropped, in that order."""
        waiting, self._waiting = self._waiting, []
        if self._thread is None:
            _do(waiting)
        elif waiting:
            as_here = torch.inference_mode(torch.is_inference_mode_enabled())  # it belongs to threads
            self._begun.append(self._thread.submit(as_here(_do), waiting))

    def settle(self) -> None:
        """Wait until all of it is done."""
        self.begin()
        for begun in self._begun:
            begun.result()
        self._begun.clear()

    def is_refused(self, row: int) -> bool:
        """Whether the request in `row`, which is settled, may only end."""
        return row in self._refused

    def _put(self, row: int, params: Any, tokens: Sequence[int]) -> None:
        self._refused.pop(row, None)
        try:
            if self._vocabularies is None or self._constraints is None:
                raise InvalidSettings(f"{DIRECTORY_VARIABLE} was not set when this worker started")
            constraint = self._vocabularies.read(params.extra_args)
            assert constraint is not None, "the request is somebody else's"
            self._constraints.put(row, constraint, tokens)
        except Exception:  # the engine must outlive whatever a request holds
            logger.exception("a request can't be constrained in this worker; it is ended without an answer")
            self._refused[row] = params.eos_token_id or 0

    def _drop(self, row: int) -> None:
        self._refused.pop(row, None)
        if self._constraints is not None:
            self._constraints.drop(row)

    def advance(self, tokens: torch.Tensor, rows: torch.Tensor) -> None:
        """(n,) and (n,) int64 on the device; a row of -1 stays where it is."""
        self.settle()
        if self._constraints is not None:
            self._constraints.advance(tokens, rows)

    def apply(self, logits: torch.Tensor, rows: torch.Tensor, rows_on_host: Iterable[int]) -> None:
        """Mask (n, width) logits in place; `rows`, (n,) int64, are their rows here, -1 for those of others and those that may
        only end, which `rows_on_host` knows apart."""
        self.settle()
        assert logits.shape[1] == self._width, f"logits have {logits.shape[1]} columns, not {self._width}"
        if self._constraints is not None:
            self._constraints.apply(logits, rows)
        if self._refused:
            for position, row in enumerate(rows_on_host):
                if row in self._refused:
                    logits[position].fill_(-torch.inf)
                    logits[position, self._refused[row]] = 0.0


def _do(waiting: Iterable[Callable[[], None]]) -> None:
    for one in waiting:
        one()


def _beside_the_model() -> None:
    """Let this thread run wherever the process above may: vLLM binds a worker to the cores of its model, and all that the worker
    starts with it. There a thread would take turns with the model, whatever other cores have to do."""
    with suppress(OSError, AttributeError):  # not on Linux, or not allowed
        os.sched_setaffinity(0, os.sched_getaffinity(os.getppid()))


@dataclass(slots=True, eq=False)
class _Entry:
    """A request of the first runner's batch: `output` is vLLM's own list, which grows; `seen` of it are in the machine."""

    row: int
    params: Any
    output: list[int]
    seen: int = 0


class FirstRunnerRows:
    """For model runner V1, which names rows by their index in the batch, and says when they are filled, emptied and moved.

    The tokens of a row are known on the host, by the time that `apply` is called at the latest. `apply` is called for prompts
    that are read in part, too, and what is sampled then is thrown away: the state follows the list, not the calls.
    """

    def __init__(
        self, vocabularies: ServedVocabularies | None, rows: int, width: int, device: torch.device, pin_memory: bool
    ) -> None:
        self._machine = _Machine(vocabularies, rows, width, device)
        self._pin_memory = pin_memory
        self._free = list(range(rows))
        self._batch: dict[int, _Entry] = {}
        self._rows: tuple[list[int], torch.Tensor] | None = None

    def update(self, update: Any) -> None:
        """Take in a `BatchUpdate`: what is removed, then added, then moved. A row that is filled or moved to may hold another
        request, of whose end nothing was said."""
        for index in update.removed:
            self._forget(index)
        for index, params, _, output in update.added:
            self._forget(index)
            if is_ours(params.extra_args):
                self._batch[index] = entry = _Entry(self._free.pop(), params, output)
                self._begin(entry)
        for source, target, direction in update.moved:
            moved, other = self._batch.pop(source, None), self._batch.pop(target, None)
            if moved is not None:
                self._batch[target] = moved
            if other is not None and direction.name == "SWAP":
                self._batch[source] = other
            elif other is not None:
                self._release(other)
        self._machine.begin()
        self._rows = None

    def apply(self, logits: torch.Tensor) -> None:
        """Mask the rows of a batch, (n, width)."""
        if not self._batch:
            return
        self._machine.settle()
        self._catch_up()
        self._machine.settle()
        if self._rows is None or len(self._rows[0]) != len(logits):
            entries = [self._batch.get(index) for index in range(len(logits))]
            on_host = [entry.row if entry else NO_ROW for entry in entries]
            self._rows = on_host, self._to_device([NO_ROW if self._machine.is_refused(row) else row for row in on_host])
        self._machine.apply(logits, self._rows[1], self._rows[0])

    def _catch_up(self) -> None:
        entries = [entry for entry in self._batch.values() if not self._machine.is_refused(entry.row)]
        for entry in entries:
            if len(entry.output) < entry.seen:  # tokens were taken back: their cache could not be loaded
                self._begin(entry)
        while behind := [entry for entry in entries if entry.seen < len(entry.output)]:
            tokens = [entry.output[entry.seen] for entry in behind]
            assert NOT_COPIED not in tokens, "a token that was generated has not reached the host"
            self._machine.advance(self._to_device(tokens), self._to_device([entry.row for entry in behind]))
            for entry in behind:
                entry.seen += 1

    def _begin(self, entry: _Entry) -> None:
        known = entry.output[: entry.output.index(NOT_COPIED)] if NOT_COPIED in entry.output else list(entry.output)
        self._machine.put(entry.row, entry.params, known)
        self._rows = None
        entry.seen = len(known)

    def _forget(self, index: int) -> None:
        if (entry := self._batch.pop(index, None)) is not None:
            self._release(entry)

    def _release(self, entry: _Entry) -> None:
        self._machine.drop(entry.row)
        self._free.append(entry.row)

    def _to_device(self, values: list[int]) -> torch.Tensor:
        return torch.tensor(values, pin_memory=self._pin_memory).to(self._machine.device, non_blocking=True)


class SecondRunnerRows:
    """For model runner V2, which gives a request a slot until it ends or is preempted, and does not say when that is. A slot
    is a row of the machine.

    The last token is known on the device only: the state follows the number of tokens that vLLM has written there. `flush`
    reads tokens back, and waits for the device, only for a request that comes back after preemption.
    """

    def __init__(self, vocabularies: ServedVocabularies | None, states: Any, width: int) -> None:
        self._states = states
        self._machine = _Machine(vocabularies, states.max_num_reqs, width, states.device)
        self._is_ours = np.zeros(states.max_num_reqs, np.bool_)
        self._row_of_slot = torch.full((states.max_num_reqs,), NO_ROW, dtype=torch.int64, device=states.device)
        self._seen = torch.zeros(states.max_num_reqs, dtype=torch.int32, device=states.device)
        self._staged: dict[int, Any] = {}
        self._begun: list[int] = []

    def add(self, slot: int, params: Any) -> bool:
        """A request comes into `slot`; whether it is ours."""
        ours = is_ours(params.extra_args)
        if ours:
            self._staged[slot] = params
        elif self._is_ours[slot]:
            self._staged[slot] = None
        self._is_ours[slot] = ours
        return ours

    def flush(self) -> None:
        """Begin the requests that were added, once vLLM has written their tokens to the device."""
        for slot, params in self._staged.items():
            if params is None:
                self._machine.drop(slot)
                self._row_of_slot[slot] = NO_ROW
                continue
            start, end = int(self._states.prompt_len.np[slot]), int(self._states.prefill_len.np[slot])
            tokens = self._states.all_token_ids.gpu[slot, start:end].tolist() if end > start else []
            self._machine.put(slot, params, tokens)
            self._begun.append(slot)
            self._seen[slot] = len(tokens)
        self._machine.begin()
        self._staged.clear()

    def apply(self, logits: torch.Tensor, context: Any) -> None:
        """Mask the rows of a batch, (n, width); a row is where `context` says, another at each step."""
        if not self._is_ours[context.idx_mapping_np].any():
            return
        self._machine.settle()
        for slot in self._begun:
            self._row_of_slot[slot] = NO_ROW if self._machine.is_refused(slot) else slot
        self._begun.clear()
        slots, states = context.expanded_idx_mapping, self._states
        total = states.total_len.gpu[slots]
        written = total - states.prompt_len.gpu[slots]
        last = states.all_token_ids.gpu[slots, (total - 1).long()].long()
        rows = self._row_of_slot[slots]
        self._machine.advance(last, torch.where(written > self._seen[slots], rows, NO_ROW))
        self._seen[slots] = written
        self._machine.apply(logits, rows, (slot if self._is_ours[slot] else NO_ROW for slot in context.idx_mapping_np.tolist()))
