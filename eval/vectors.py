"""Titles as vectors of the language model, f = encode(x): the mean of its hidden states over a title's tokens. It knows no store
and no metric; whether such vectors tell anything about users is for others to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from eval.games import Trial, fading

AT_ONCE = 128
LATEST = 20
"""Games of a history that a user's vector is the mean of."""

Floats = NDArray[np.float64]


def title_vectors(
    model: PreTrainedModel, titles: Sequence[Sequence[int]], tick: Callable[[int], None] = lambda done: None
) -> Floats:
    """(titles, width): the mean of the last hidden states of each title, given as token ids; zeros for one that has none."""
    vectors = np.zeros((len(titles), int(model.config.hidden_size)))
    order = sorted((place for place, title in enumerate(titles) if title), key=lambda place: len(titles[place]))
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        longest = max(len(titles[place]) for place in some)
        ids = torch.zeros((len(some), longest), dtype=torch.long)
        there = torch.zeros((len(some), longest), dtype=torch.long)
        for row, place in enumerate(some):
            ids[row, : len(titles[place])] = torch.tensor(titles[place])
            there[row, : len(titles[place])] = 1
        with torch.inference_mode():
            ids, there = ids.to(model.device), there.to(model.device)
            states = model(input_ids=ids, attention_mask=there, output_hidden_states=True).hidden_states[-1].float()
            means = (states * there[:, :, None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
        vectors[some] = means.cpu().numpy()
        tick(len(some))
    return vectors


class Vectors:
    """Games under cosines of vectors, (games, width), each column standardised: a user is the fading mean of the latest games."""

    def __init__(self, vectors: Floats) -> None:
        apart = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-9)
        self._vectors = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-9)

    def scores(self, trial: Trial) -> Floats:
        """(CANDIDATES,)."""
        latest = trial.history[-LATEST:]
        user = fading(latest) @ self._vectors[list(latest)]
        scores: Floats = self._vectors[list(trial.candidates)] @ user
        return scores
