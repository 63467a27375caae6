"""A batch's step, as torch operations and as machine code, against the definition. CASES=1000000 in the environment asks for more
steps than the usual ones."""

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hangtag.prior import TagPrior
from hangtag.state import Phase
from serve.decoding.batch import BatchConstraint
from tests.cases import codecs, constraints
from tests.fakes import codec_of, constraint_of, vocabulary_of

CASES = int(os.environ.get("CASES", "20000"))
VOCABULARIES = 500
ROWS = 8
PADDING = 40
counted = {"cases": 0, "vocabularies": 0}


def bits(words, width):
    return np.unpackbits(words.numpy().view(np.uint8), axis=-1, bitorder="little")[..., :width].astype(bool)


def step_by_step(made, chance, compiled):
    """Walk random answers in two forms, one row after the other beginning anew, and compare every mask and every bias."""
    grammar = made[0].grammar
    width = len(grammar.written) + chance.choice([0, PADDING])
    machine = BatchConstraint(grammar, ROWS, width, compiled=compiled)
    generator = torch.Generator().manual_seed(chance.randrange(1 << 30))
    waiting, rows = list(made) * (ROWS // 2), {}
    steps = 0
    while waiting or rows:
        while waiting and len(rows) < ROWS and (not rows or chance.random() < 0.7):
            row, constraint = chance.choice([row for row in range(ROWS) if row not in rows]), waiting.pop()
            state, tokens = constraint.start(), []
            for _ in range(chance.choice([0, 0, 3, 20])):  # as a request that was preempted comes back
                if state.phase is not Phase.DONE:
                    tokens.append(int(chance.choice(constraint.allowed(state).tokens)))
                    state = constraint.advance(state, tokens[-1])
            machine.put(row, constraint, tokens)
            rows[row] = (constraint, state)
        order = chance.sample([-1, *rows], len(rows) + 1) if chance.random() < 0.5 else list(rows)
        logits = torch.randn((len(order), width), generator=generator)
        masked = logits.clone()
        machine.apply(masked, torch.tensor(order))
        packed = bits(machine.fill(), width)
        chosen = []
        for line, row in enumerate(order):
            if row < 0:
                assert torch.equal(masked[line], logits[line])
                chosen.append(0)
                continue
            constraint, state = rows[row]
            if state.phase is Phase.DONE:
                chosen.append(grammar.eos_id)
                continue
            steps += 1
            allowed = constraint.allowed(state)
            expected = np.zeros(width, bool)
            expected[allowed.tokens] = True
            assert (packed[row] == expected).all(), (state, np.flatnonzero(packed[row] != expected))
            assert (torch.isfinite(masked[line]).numpy() == expected).all()
            wanted = logits[line].double().numpy()[allowed.tokens] + allowed.bias
            got = masked[line].double().numpy()[allowed.tokens]
            assert got - got.max() == pytest.approx(wanted - wanted.max(), abs=1e-4)
            chosen.append(int(chance.choice(allowed.tokens)))
            rows[row] = (constraint, constraint.advance(state, chosen[-1]))
        machine.advance(torch.tensor(chosen), torch.tensor(order))
        assert machine.done().tolist() == [row not in rows or rows[row][1].phase is Phase.DONE for row in range(ROWS)]
        for row, (_, state) in list(rows.items()):
            if state.phase is Phase.DONE and chance.random() < 0.7:
                machine.drop(row)
                del rows[row]
    return steps


@settings(max_examples=VOCABULARIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_all_forms_allow_the_same_and_bias_alike(data):
    codec = data.draw(codecs(most=data.draw(st.sampled_from([3, 12, 60]))))
    made = [data.draw(constraints(codec)) for _ in range(data.draw(st.integers(1, 6)))]
    chance = random.Random(data.draw(st.integers(0, 1 << 30)))
    enough = max(1, round(CASES / VOCABULARIES))
    steps = 0
    while steps < enough:
        steps += step_by_step(made, chance, data.draw(st.booleans()) if not steps else chance.random() < 0.5)
    counted["cases"] += steps
    counted["vocabularies"] += 1


def test_the_forms_were_compared_often_enough():
    assert counted["cases"] >= CASES
    assert counted["vocabularies"] >= VOCABULARIES


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "lay_out", [torch.Tensor.half, lambda logits: logits.T.contiguous().T], ids=["half precision", "columns first"]
)
def test_logits_of_any_kind_are_changed_in_place(compiled, lay_out):
    constraint = constraint_of(codec_of(vocabulary_of("linen", "cotton"), ["li"]), prior=TagPrior({0: 2.0}))
    machine = BatchConstraint(constraint.grammar, 3, len(constraint.grammar.written), compiled=compiled)
    machine.put(1, constraint)
    logits = lay_out(torch.zeros(2, len(constraint.grammar.written)))
    machine.apply(logits, torch.tensor([-1, 1]))
    allowed = constraint.allowed(constraint.start())
    assert (logits[0] == 0).all()
    assert logits[1].isfinite().nonzero()[:, 0].tolist() == sorted(allowed.tokens)
    assert logits[1][allowed.tokens].diff().tolist() == np.diff(allowed.bias).tolist()
