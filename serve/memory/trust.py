"""What evidence is worth: a weight for each of its columns, fitted by logistic regression, kept as JSON. It knows no listing and
no index.

The sum of a tag's columns by weight is its logit: 1 / (1 + exp(-logit)) is the probability that a merchant gives the tag.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hangtag.calibration import Calibration, curve_object, parse_calibration
from hangtag.errors import InvalidCalibration, InvalidMemory
from hangtag.files import save_json
from serve.memory.evidence import COLUMNS, Evidence, StatedRates
from serve.memory.neighbours import one_thread

FORMAT = 1
LETTERS = 0.3
ENOUGH = -1.8
"""See `Trust`; of a small memory, where the F1 of suggestions is highest."""

STEADINESS = 30.0
"""Strength of the pull towards the weights that were there before, in tags seen: few listings change little, and those of one
corner of a shop do not forget the rest."""

MOST_STEPS, TOLERANCE = 100, 1e-4
"""Of Newton's method, the tolerance in nats of all tags together."""

LEAST_SPREAD = 0.1
"""A column that hardly varies would get any weight."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trust:
    """How far memory is believed. `bias` and `weights` (by column) make logits. `letters` is the share of the title's letters in
    a cosine. `prior` is how often a logit counts against the model's log-probability, None where that was not fitted. `enough` is
    the logit from which on a tag is worth suggesting. A listing that neighbours explain less of than `usual` is unfamiliar, and
    neither they nor the weights are believed as much. `curve` is from logits of suggested tags to the probability that they are
    right, None where there were too few to fit one. `fitted_on` is how many listings it was fitted on, 0 for the defaults;
    `figures` what that was worth on listings held out."""

    bias: float
    weights: Mapping[str, float]
    letters: float = LETTERS
    prior: float | None = None
    enough: float = ENOUGH
    usual: float = 0.0
    stated: StatedRates = field(default_factory=lambda: StatedRates({}))
    fitted_on: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    curve: Calibration | None = None

    @property
    def hash(self) -> str:
        """Of all that decides an estimate."""
        decisive: list[Any] = [self.bias, sorted(self.weights.items()), self.letters, self.prior, self.enough, self.usual]
        decisive.append(sorted(self.stated.counts.items()))
        decisive.append(None if self.curve is None else curve_object(self.curve))
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def logits(self, evidence: Evidence) -> Floats:
        """Of each tag, shape (tags,)."""
        familiar = min(1.0, evidence.covered / self.usual) if self.usual > 0 else 1.0
        if familiar == 1:
            return self._sums(evidence.table)
        return familiar * self._sums(evidence.table) + (1 - familiar) * DEFAULT._sums(evidence.faded(familiar))

    def _sums(self, table: Floats) -> Floats:
        sums: Floats = table @ np.array([self.weights[name] for name in COLUMNS]) + self.bias
        return sums


DEFAULT = Trust(
    bias=-6.8,
    weights={
        "ridge": 20.4,
        "log ridge": -0.08,
        "log vote": 0.17,
        "log cubes": 0.3,
        "nearest": -5.15,
        "first": -0.23,
        "first, by nearness": 2.73,
        "word": 1.02,
        "log word": 2.3,
        "word, by ridge": -20.0,
        "stated": 0.14,
        "stated and given": 0.12,
        "log stated and given": 0.07,
        "unused": 0.29,
        "unused, by word": 0.78,
        "unused and stated": -0.09,
        "log times used": 0.08,
    },
)
"""Fitted to memories of 12, 40 and 150 listings drawn from five public sets: what holds where little is known of a shop (LOG.md
has the figures)."""


def fit_weights(table: Floats, right: NDArray[np.bool_], before: Trust) -> tuple[float, dict[str, float]]:
    """(bias, weights) by logistic regression with a Gaussian prior around `before`: evidence (n, COLUMNS), and whether each was
    a right tag; without evidence `before` itself. Newton's method; columns count in units of their spread."""
    if not len(table):
        return before.bias, dict(before.weights)
    spread = np.append(table.std(axis=0), 1.0)
    spread = np.maximum(spread, LEAST_SPREAD)
    design = np.column_stack([table, np.ones(len(table))]) / spread
    start = np.append([before.weights[name] for name in COLUMNS], before.bias) * spread
    found = start.copy()
    pull = np.full(len(found), STEADINESS)
    pull[-1] = 0.01
    loss, step = np.inf, np.zeros(len(found))
    for _ in range(MOST_STEPS):
        tried = found - step
        logits = design @ tried
        now = float(np.logaddexp(0, logits).sum() - logits[right].sum() + (pull * (tried - start) ** 2).sum() / 2)
        if now > loss:  # Newton's step went too far
            step /= 2
            continue
        finished, found, loss = loss - now < TOLERANCE, tried, now
        if finished:
            break
        chance = 1 / (1 + np.exp(-logits))
        with one_thread():
            slope = design.T @ (chance - right) + pull * (found - start)
            curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(pull)
            step = np.linalg.solve(curve, slope)
    found /= spread
    return float(found[-1]), {name: float(weight) for name, weight in zip(COLUMNS, found[:-1], strict=True)}


def read_trust(file: Path) -> Trust:
    """What was fitted; the defaults where there is no file. Raises `InvalidMemory` for one that is broken."""
    if not file.exists():
        return DEFAULT
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        if given.pop("format") != FORMAT or set(given["weights"]) != set(COLUMNS):
            raise ValueError("made by another version of hangtag")
        given["stated"] = StatedRates({str(tag): (int(a), int(b)) for tag, (a, b) in given["stated"].items()})
        if given.get("curve") is not None:
            given["curve"] = parse_calibration(given["curve"])
        trust = Trust(**given)
        numbers = [trust.bias, trust.letters, trust.prior or 0.0, trust.enough, trust.usual, *trust.weights.values()]
        numbers += [*trust.figures.values(), trust.fitted_on]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise ValueError("a weight or a figure is no finite number")
        if not 0 <= trust.letters <= 1 or (trust.prior or 0.0) < 0:
            raise ValueError("a share is not in 0..1, or a trust below 0")
        return trust
    except (InvalidCalibration, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidMemory(f"{file}: {error}; say `hangtag memory fit` again, or remove the file") from error


def write_trust(trust: Trust, file: Path) -> None:
    """Written whole or not at all; read back by `read_trust`."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "bias": trust.bias,
        "weights": dict(trust.weights),
        "letters": trust.letters,
        "prior": trust.prior,
        "enough": trust.enough,
        "usual": trust.usual,
        "fitted_on": trust.fitted_on,
        "figures": dict(trust.figures),
        "curve": None if trust.curve is None else curve_object(trust.curve),
        "stated": {tag: list(pair) for tag, pair in sorted(trust.stated.counts.items())},
    }
    save_json(content, file)


def written(file: Path) -> tuple[int, int]:
    """Differs whenever `write_trust` wrote the file in between; (0, 0) where there is none."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns
