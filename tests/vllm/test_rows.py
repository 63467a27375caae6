"""The processor on vLLM's own batch structures, moved about at random, without an engine: each row is masked as the reference
masks its request, rows of others stay as they are bit by bit, and a processor that came twice works once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.triton_utils import HAS_TRITON

from hangtag.constraint import AnswerConstraint
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.state import Phase, State
from serve.decoding.requests import write
from serve.decoding.vllm import HangtagLogitsProcessor
from tests.vllm.served import Served, some_evidence, some_prior

ROWS = 6
RULES = (
    AnswerRules(max_tags=3, max_explanation_tokens=12),
    AnswerRules(min_tags=2, max_tags=4, facet_limits={"category": 1}, max_explanation_tokens=20),
    AnswerRules(max_tags=5, explain=False, exclusions=(frozenset({0, 1, 2}),)),
)


@dataclass(eq=False)
class Asked:
    """A request and where its answer stands, by the reference; None for the requests of others."""

    name: str
    params: SamplingParams
    prompt: list[int]
    constraint: AnswerConstraint | None
    output: list[int] = field(default_factory=list)
    state: State | None = None

    @property
    def done(self) -> bool:
        return len(self.output) > 30 if self.state is None else self.state.phase is Phase.DONE

    def hold(self, before: torch.Tensor, after: torch.Tensor, eos: int) -> int:
        """Compare a row before and after, and choose a token of it."""
        if self.constraint is None or self.state is None:
            assert torch.equal(before, after)
            return int(torch.softmax(after, 0).multinomial(1))
        tokens, bias = torch.tensor([eos]), torch.zeros(1)
        if not self.done:
            allowed = self.constraint.allowed(self.state)
            tokens, bias = torch.from_numpy(allowed.tokens).long(), torch.from_numpy(allowed.bias)
        assert torch.equal(after.isfinite().nonzero()[:, 0], tokens.sort().values)
        added = after[tokens] - before[tokens] - bias
        torch.testing.assert_close(added, added.mean().expand_as(added), atol=1e-3, rtol=0)  # a constant changes nothing
        return int(tokens[torch.softmax(before[tokens], 0).multinomial(1)])

    def take(self, token: int) -> None:
        self.output.append(token)
        if self.constraint is not None and self.state is not None and not self.done:
            self.state = self.constraint.advance(self.state, token)

    def take_back(self, count: int) -> None:
        del self.output[len(self.output) - count :]
        if self.constraint is not None:
            self.state = self.constraint.replay(self.output)


@pytest.fixture(scope="module")
def config(served: Served) -> Any:
    """A real configuration, with rows for ROWS requests."""
    return EngineArgs(str(served.model), **{**served.engine, "max_num_seqs": ROWS}).create_engine_config()


@pytest.fixture
def chance() -> random.Random:
    torch.manual_seed(0)
    return random.Random(0)


def asked(served: Served, chance: random.Random, number: int) -> Asked:
    prompt = [chance.randrange(served.codec.tokenizer.size) for _ in range(chance.randint(1, 9))]
    if chance.random() < 0.3:
        return Asked(str(number), SamplingParams(extra_args={"others": 1}), prompt, None)
    prior = some_prior() if chance.random() < 0.5 else TagPrior()
    request = served.request(chance.choice(RULES), prior=prior, evidence=some_evidence())
    constraint = request.constraint(served.codec.compiled, served.codec.grammar)
    return Asked(str(number), SamplingParams(extra_args=dict(write(request))), prompt, constraint, state=constraint.start())


def width(served: Served) -> int:
    return served.codec.tokenizer.size


class FirstRunner:
    """What model runner V1 does with its persistent batch in a step, on its own `InputBatch`."""

    def __init__(self, served: Served, config: Any, *, asynchronous: bool) -> None:
        from vllm.v1.sample.logits_processor import LogitsProcessors
        from vllm.v1.worker.gpu_input_batch import InputBatch

        twice = [HangtagLogitsProcessor(config, torch.device("cpu"), False) for _ in range(2)]
        self.asynchronous = asynchronous
        self.batch = InputBatch(
            max_num_reqs=ROWS,
            max_model_len=256,
            max_num_batched_tokens=64,
            device=torch.device("cpu"),
            vocab_size=width(served),
            block_sizes=[32],
            max_num_blocks_per_req=[8],
            logitsprocs=LogitsProcessors(twice),
            logitsprocs_need_output_token_ids=True,
        )
        self.known: dict[str, tuple[Asked, Any]] = {}
        """Requests in the batch, and vLLM's record of each."""

    def add(self, one: Asked) -> None:
        from vllm.v1.worker.gpu_input_batch import CachedRequestState

        record = CachedRequestState(
            req_id=one.name,
            prompt_token_ids=one.prompt,
            mm_features=[],
            sampling_params=one.params,
            generator=None,
            block_ids=([0],),
            num_computed_tokens=0,
            output_token_ids=list(one.output),
        )
        self.batch.add_request(record)
        self.known[one.name] = one, record

    def remove(self, one: Asked) -> None:
        self.batch.remove_request(one.name)
        del self.known[one.name]

    def settle(self, chance: random.Random) -> None:
        self.batch.condense()
        if self.batch.num_reqs > 1 and chance.random() < 0.4:
            self.batch.swap_states(*chance.sample(range(self.batch.num_reqs), 2))
        self.batch.refresh_metadata()

    def rows(self) -> list[Asked]:
        return [self.known[name][0] for name in self.batch.req_ids]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for one, record in self.known.values():  # the repair of placeholders comes after the update, before the processors
            if record.output_token_ids[-1:] == [-1]:
                record.output_token_ids[-1:] = one.output[-1:]
        for processor in self.batch.logitsprocs.non_argmax_invariant:
            logits = processor.apply(logits)
        return logits

    def take(self, one: Asked, token: int) -> None:
        one.take(token)
        self.known[one.name][1].output_token_ids.append(-1 if self.asynchronous else token)

    def take_back(self, one: Asked, count: int) -> None:
        one.take_back(count)
        del self.known[one.name][1].output_token_ids[len(one.output) :]


class SecondRunner:
    """What model runner V2 does with its slots in a step, on its own `RequestState`."""

    def __init__(self, served: Served, config: Any, *, asynchronous: bool) -> None:
        import vllm.v1.worker.cpu.shm  # noqa: F401  # lets the structures of the GPU runner be made on a CPU
        from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcRequestState
        from vllm.v1.worker.gpu.states import RequestState

        self.states = RequestState(ROWS, 256, 64, 0, width(served), torch.device("cpu"))
        shared = LogitsProcRequestState.from_request_state(self.states)
        self.processors = [HangtagLogitsProcessor(config, shared) for _ in range(2)]
        self.known: dict[str, Asked] = {}
        self.order: list[str] = []

    def add(self, one: Asked) -> None:
        tokens = one.prompt + one.output
        self.states.add_request(one.name, len(one.prompt), tokens, 0, 100)
        slot = self.states.req_id_to_index[one.name]
        changes = [processor.add_request(slot, one.params) for processor in self.processors]
        assert changes == [one.constraint is not None, False]
        self.known[one.name] = one

    def remove(self, one: Asked) -> None:
        self.states.remove_request(one.name)
        del self.known[one.name]

    def settle(self, chance: random.Random) -> None:
        self.states.apply_staged_writes()
        for processor in self.processors:
            processor.apply_staged_writes()
        self.order = list(self.known)
        chance.shuffle(self.order)

    def rows(self) -> list[Asked]:
        return [self.known[name] for name in self.order]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext

        slots = torch.tensor([self.states.req_id_to_index[name] for name in self.order])
        nothing = torch.zeros(len(slots), dtype=torch.int32)
        context = LogitsContext(
            expanded_idx_mapping=slots,
            idx_mapping=slots,
            idx_mapping_np=slots.numpy(),
            expanded_local_pos=nothing,
            input_ids=nothing,
            pos=nothing,
            seq_lens_upper_bound_np=nothing.numpy(),
        )
        for processor in self.processors:
            logits = processor.apply(logits, context)
        return logits

    def take(self, one: Asked, token: int) -> None:
        one.take(token)
        slot = self.states.req_id_to_index[one.name]
        self.states.all_token_ids.gpu[slot, self.states.total_len.gpu[slot]] = token
        self.states.total_len.gpu[slot] += 1

    def take_back(self, one: Asked, count: int) -> None:
        """V2 begins such a request anew."""
        self.remove(one)
        one.take_back(count)
        self.add(one)


RUNNERS = (
    pytest.param(FirstRunner, False, id="V1"),
    pytest.param(FirstRunner, True, id="V1-asynchronous"),
    pytest.param(SecondRunner, False, id="V2", marks=pytest.mark.skipif(not HAS_TRITON, reason="V2 needs Triton")),
)


@pytest.mark.parametrize(("kind", "asynchronous"), RUNNERS)
def test_rows_are_masked_however_they_move(
    served: Served, config: Any, chance: random.Random, kind: Any, asynchronous: bool
) -> None:
    runner = kind(served, config, asynchronous=asynchronous)
    running: list[Asked] = []
    waiting: list[Asked] = []
    finished = moved = 0
    for step in range(400):
        for one in list(running):
            if one.done and chance.random() < 0.7:  # with asynchronous scheduling a step or more come after the end
                finished += one.constraint is not None
                running.remove(one)
                runner.remove(one)
            elif chance.random() < 0.08:  # preempted, or not scheduled
                moved += 1
                running.remove(one)
                runner.remove(one)
                waiting.append(one)
            elif not asynchronous and one.output and not one.done and chance.random() < 0.03:
                runner.take_back(one, chance.randint(1, min(3, len(one.output))))
        while len(running) < ROWS and chance.random() < 0.5:
            one = waiting.pop(0) if waiting and chance.random() < 0.6 else asked(served, chance, step * ROWS + len(running))
            runner.add(one)
            running.append(one)
        if not running:
            continue
        runner.settle(chance)
        before = torch.randn(len(running), width(served)) * 3
        after = runner.apply(before.clone())
        for position, one in enumerate(runner.rows()):
            token = one.hold(before[position], after[position], served.codec.tokenizer.eos_id)
            if chance.random() < 0.85:  # else: a prompt that is read in part, whose sample is thrown away
                runner.take(one, token)
    assert finished > 20
    assert moved > 50
