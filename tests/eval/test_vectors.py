"""Titles as vectors of a model, and users as means of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.games import Trial
from eval.vectors import Vectors, title_vectors
from hangtag.bundle import Bundle
from serve.engines.weights import load_model


def test_a_title_is_the_mean_of_its_states_whatever_stands_beside_it(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    model = load_model(bundle, bundle.adapter, device="cpu")
    titles = [[5, 6, 7], [], [8], [5, 6, 7, 8, 9, 10]]
    together = title_vectors(model, titles)
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([titles[0]]), output_hidden_states=True).hidden_states[-1][0]
    assert together[0] == pytest.approx(states.mean(dim=0).numpy(), abs=1e-4)
    assert not together[1].any()
    assert together == pytest.approx(np.concatenate([title_vectors(model, [title]) for title in titles]), abs=1e-4)


def test_users_are_near_what_they_had_lately() -> None:
    vectors = Vectors(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]))
    assert np.argmax(vectors.scores(Trial((2, 0), (1, 3), 0))) == 0
    assert np.argmax(vectors.scores(Trial((0, 2), (1, 3), 0))) == 1
