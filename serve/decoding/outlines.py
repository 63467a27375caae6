"""The constraint as a logits processor of outlines, row by row over the reference state machine. It knows no model and no
prompt: one processor belongs to one batch, from its first token to its last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from outlines.processors import OutlinesLogitsProcessor

from hangtag.constraint import AnswerConstraint
from hangtag.state import Phase, State


class ConstraintProcessor(OutlinesLogitsProcessor):  # type: ignore[misc]
    """Masks everything that the constraint of a row does not allow and adds the prior's bias to the rest.

    `is_cancelled(row)` is asked before every token: a cancelled row is ended at once. Log-probabilities are those after the
    mask at temperature 1.
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
        self._offered: list[tuple[NDArray[np.int32], NDArray[np.float64]] | None] = [None] * count

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
            values = scores[row, allowed.tokens].astype(np.float64) + allowed.bias
            assert np.isfinite(values).all(), "the model gave a logit that is no number"
            values -= values.max()
            logprobs = values - np.log(np.exp(values).sum())
            masked[row, allowed.tokens] = logprobs
            self._offered[row] = (allowed.tokens, logprobs)
        return torch.from_numpy(masked).to(logits.device, logits.dtype)

    def observe(self, tokens: Sequence[int]) -> None:
        """Take in the token chosen for each row; rows that were offered nothing (the first call, ended rows) are passed over."""
        for row, token in enumerate(tokens):
            offered = self._offered[row]
            if offered is None:
                continue
            allowed, logprobs = offered
            (position,) = np.flatnonzero(allowed == token)
            self.ids[row].append(token)
            self.logprobs[row].append(float(logprobs[position]))
            self.states[row] = self._constraints[row].advance(self.states[row], token)
            self._offered[row] = None

    def is_done(self, row: int) -> bool:
        """Whether the row has its end or nobody waits for it."""
        return self.states[row].phase is Phase.DONE or self._is_cancelled(row)
