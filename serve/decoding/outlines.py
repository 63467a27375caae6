"""The constraint as a logits processor of outlines, row by row over the reference state machine. It knows no model and no
prompt: one processor belongs to one batch, from its first token to its last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from outlines.processors import OutlinesLogitsProcessor

from hangtag.constraint import AnswerConstraint
from hangtag.state import Phase, State


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    """What a row could choose from: (K,) each. `plain` are the logits without biases, None where the biases change no order."""

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float64]
    plain: NDArray[np.float64] | None

    def without_bias(self, chosen: int) -> int:
        """The token that wins without biases; the one at `chosen` if it is among the best, so that equals are no change."""
        if self.plain is None or self.plain[chosen] == self.plain.max():
            return int(self.tokens[chosen])
        return int(self.tokens[self.plain.argmax()])


class ConstraintProcessor(OutlinesLogitsProcessor):  # type: ignore[misc]
    """Masks everything that the constraint of a row does not allow and adds the prior's bias to the rest.

    `is_cancelled(row)` is asked before every token: a cancelled row is ended at once. Of each row there are the `ids` that were
    chosen, their log-probabilities after the mask at temperature 1, and the `unbiased` ones: the token that would have won each
    choice without the biases (of the prior; in quotations, of the evidence).
    """

    def __init__(self, constraints: Sequence[AnswerConstraint], is_cancelled: Callable[[int], bool] = lambda row: False) -> None:
        super().__init__("torch")
        self._constraints = constraints
        self._is_cancelled = is_cancelled
        self.reset()

    def reset(self) -> None:
        """Forget everything: outlines calls this before each generation."""
        count = len(self._constraints)
        self.states: list[State] = [constraint.start() for constraint in self._constraints]
        self.ids: list[list[int]] = [[] for _ in range(count)]
        self.logprobs: list[list[float]] = [[] for _ in range(count)]
        self.unbiased: list[list[int]] = [[] for _ in range(count)]
        self._offered: list[_Offer | None] = [None] * count

    def process_logits(self, input_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(rows, tokens so far), (rows, V) -> (rows, V); called once a token, so the last column is what was chosen."""
        self.observe(input_ids[:, -1].tolist())
        scores = logits.float().cpu().numpy()
        masked = np.full_like(scores, -np.inf)
        for row, constraint in enumerate(self._constraints):
            state = self.states[row]
            if state.phase is Phase.DONE or self._is_cancelled(row):
                masked[row, constraint.compiled.eos_id] = 0.0
                self._offered[row] = None
                continue
            allowed = constraint.allowed(state)
            plain = scores[row, allowed.tokens].astype(np.float64)
            values = plain + allowed.bias
            assert np.isfinite(values).all(), "the model gave a logit that is no number"
            values -= values.max()
            logprobs = values - np.log(np.exp(values).sum())
            masked[row, allowed.tokens] = logprobs
            self._offered[row] = _Offer(allowed.tokens, logprobs, plain if np.ptp(allowed.bias) > 0 else None)
        return torch.from_numpy(masked).to(logits.device, logits.dtype)

    def observe(self, tokens: Sequence[int]) -> None:
        """Take in the token chosen for each row; rows that were offered nothing (the first call, ended rows) are passed over."""
        for row, token in enumerate(tokens):
            offered = self._offered[row]
            if offered is None:
                continue
            (position,) = np.flatnonzero(offered.tokens == token).tolist()
            self.ids[row].append(token)
            self.logprobs[row].append(float(offered.logprobs[position]))
            self.unbiased[row].append(offered.without_bias(position))
            self.states[row] = self._constraints[row].advance(self.states[row], token)
            self._offered[row] = None

    def is_done(self, row: int) -> bool:
        """Whether the row has its end or nobody waits for it."""
        return self.states[row].phase is Phase.DONE or self._is_cancelled(row)
