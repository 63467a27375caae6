"""`Calibration`: from what is known of a suggested tag to the probability that a merchant accepts it, and from which probability
on a promised precision holds. It knows numbers: no tag, no model, and not how curves are fitted (`serve.calibrating`).

    score = slope * ln(probability of the path) + offset of the rank + weight * evidence

The curve from score to probability is stored as knots; between them it is straight, beyond them level. So a probability never
falls where that of the path rises, and the numbers in a bundle's file are all that decides it.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidCalibration
from hangtag.files import save_json

FORMAT = 1
PRECISION = 0.9
"""What is promised where nobody says otherwise."""

LEAST = -20.0
"""Log-probabilities of a path, and logits, below this are all as good as nothing (1 in 500 million)."""

STEPS = 100
"""Thresholds that are tried, evenly between 0 and 1. Few beside the rows: that is what keeps the promise (see `promise`)."""

EVEN = 0.5
"""What is likelier wrong than right never passes, however sure the tags are that pass beside it."""

ANY = "*"
"""In the place of a vocabulary's hash: every vocabulary without a calibration of its own."""

WORDS, MEMORY = "words", "memory"
"""What evidence is: the log-weight that the words of the listing give a tag (nats), or the logit of a memory."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of one suggested tag: ln of its path's probability (nats, 0 at most), its rank in the answer, from 1, and
    the evidence beside the model (WORDS or MEMORY)."""

    log_probability: float
    rank: int
    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Promise:
    """`precision` is what was promised of the tags with a probability of `threshold` or more; on held-out rows these were
    `share` of all suggested tags, and `kept` is the share of them that was right."""

    precision: float
    threshold: float
    share: float
    kept: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted curve. `slope` and `evidence` are not negative; `offsets` are by rank, the last for all further ones; `knots`
    ascend, `probabilities` in 0..1 never fall. `method` and `figures` say how it was made and how good it was on held-out rows,
    `rows` how many there were. Raises `InvalidCalibration`."""

    slope: float
    offsets: tuple[float, ...]
    evidence: float
    knots: tuple[float, ...]
    probabilities: tuple[float, ...]
    promise: Promise | None = None
    method: str = ""
    rows: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("slope", "evidence"):
            if getattr(self, name) < 0:
                raise InvalidCalibration(f"`{name}` is negative: what speaks for a tag would count against it")
        if not self.offsets or len(self.knots) != len(self.probabilities) or not self.knots:
            raise InvalidCalibration("there is no offset, no knot, or not one probability for each knot")
        numbers = (self.slope, self.evidence, *self.offsets, *self.knots, *self.probabilities)
        if not all(map(math.isfinite, numbers)):
            raise InvalidCalibration("a number is not finite")
        if any(after <= before for before, after in zip(self.knots, self.knots[1:], strict=False)):
            raise InvalidCalibration("the knots do not ascend")
        if not all(0 <= each <= 1 for each in self.probabilities) or list(self.probabilities) != sorted(self.probabilities):
            raise InvalidCalibration("the probabilities fall somewhere, or are not within 0..1")
        if self.promise is not None and not all(0 <= each <= 1 for each in asdict(self.promise).values()):
            raise InvalidCalibration("a number of the promise is not within 0..1")

    def probability(self, clues: Clues) -> float:
        """In 0..1: that a merchant accepts the tag."""
        offset = self.offsets[min(clues.rank, len(self.offsets)) - 1]
        score = self.slope * max(clues.log_probability, LEAST) + self.evidence * max(clues.evidence, LEAST) + offset
        knots, values = self.knots, self.probabilities
        place = bisect_right(knots, score)  # as `at` does it, without arrays of one number
        if not 0 < place < len(knots):
            return values[max(0, place - 1)]
        before = place - 1
        return (values[place] - values[before]) / (knots[place] - knots[before]) * (score - knots[before]) + values[before]

    def scores(self, log_probability: Floats, rank: Integers, evidence: Floats) -> Floats:
        """Of many tags, each of shape (tags,) and as in `Clues`."""
        offset = np.array(self.offsets)[np.minimum(rank, len(self.offsets)) - 1]
        scores: Floats = self.slope * np.maximum(log_probability, LEAST) + self.evidence * np.maximum(evidence, LEAST) + offset
        return scores

    def at(self, scores: Floats) -> Floats:
        """The probability at each score, of the same shape."""
        found: Floats = np.interp(scores, self.knots, self.probabilities)
        return found

    def passes(self, probability: float) -> bool:
        """Whether a tag of this probability is among those of which the precision is promised; False where nothing is."""
        return self.promise is not None and probability >= self.promise.threshold


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibrations of a bundle, by the hash of a vocabulary or ANY, and by what the evidence was."""

    curves: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)

    def find(self, vocabulary: str, evidence: str, *, own: bool = False) -> Calibration | None:
        """The one for a vocabulary, else the one for ANY that has none; None where nothing fits. The bundle's `own` vocabulary
        is not any: its model knows it."""
        found = self.curves.get((vocabulary, evidence))
        return found if found is not None or own else self.curves.get((ANY, evidence))

    def with_curve(self, vocabulary: str, evidence: str, curve: Calibration) -> Calibrations:
        """With one more, or another one."""
        return Calibrations({**self.curves, (vocabulary, evidence): curve})


def promise(probabilities: Floats, right: Flags, row: Integers, rows: int, precision: float) -> Promise | None:
    """The lowest threshold, of EVEN at least, at which tags keep the promised `precision`; None where no threshold does.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei & Schuster 2024, arXiv:2208.02814): of n exchangeable rows with
    losses of at most B take the least threshold t with n / (n + 1) * mean loss(t) + B / (n + 1) <= target; the next row's
    expected loss is then within the target. Here a row's loss is the sum over its tags with a probability of t or more of
    (wrong - (1 - precision)), the target 0, which is precision itself; B = precision * most tags of a row. The bound is exact
    for losses that never grow with t. This one may, as in selective classification (Angelopoulos 2026, arXiv:2602.20151): then
    it holds up to an excess of the order sqrt(ln(m) / n) for m thresholds tried (Aldirawi, Li & Guo 2026, arXiv:2604.01502),
    so these are only STEPS.

    probabilities: of all suggested tags together, (tags,), by a curve that was fitted on other rows
    right: whether they were, (tags,)
    row: which row each belongs to, 0..rows - 1, (tags,)
    """
    if not len(probabilities):
        return None
    bound = precision * float(np.bincount(row, minlength=rows).max())
    for step in range(round(EVEN * STEPS), STEPS + 1):
        passed = probabilities >= step / STEPS
        losses = (~right[passed]).sum() - (1 - precision) * passed.sum()
        if passed.any() and losses + bound <= 0:
            return Promise(precision, step / STEPS, float(passed.mean()), float(right[passed].mean()))
    return None


def read_calibrations(file: Path) -> Calibrations:
    """What `write_calibrations` wrote. Raises `InvalidCalibration` that names the file and the curve."""
    try:
        given = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidCalibration(f"{file}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidCalibration(f"{file}: not valid JSON: {error}") from error
    if not isinstance(given, dict) or given.get("format") != FORMAT or not isinstance(given.get("curves"), list):
        raise InvalidCalibration(f"{file}: no calibrations of this version (format {FORMAT}); calibrate again")
    curves: dict[tuple[str, str], Calibration] = {}
    for number, each in enumerate(given["curves"], start=1):
        place = f"{file}: curve {number}"
        if not isinstance(each, dict) or not isinstance(each.get("vocabulary"), str):
            raise InvalidCalibration(f"{place}: `vocabulary` is neither a hash nor {ANY!r}")
        if each.get("evidence_is") not in (WORDS, MEMORY):
            raise InvalidCalibration(f"{place}: `evidence_is` is neither {WORDS!r} nor {MEMORY!r}")
        key = (each["vocabulary"], each["evidence_is"])
        if key in curves:
            raise InvalidCalibration(f"{place}: a second one for the same vocabulary and evidence")
        try:
            curves[key] = parse_calibration({name: each[name] for name in each if name not in ("vocabulary", "evidence_is")})
        except InvalidCalibration as error:
            raise InvalidCalibration(f"{place}: {error}") from error
    return Calibrations(curves)


def write_calibrations(calibrations: Calibrations, file: Path) -> None:
    """Written whole or not at all. Raises `OutputError`."""
    curves = [
        {"vocabulary": vocabulary, "evidence_is": evidence, **curve_object(curve)}
        for (vocabulary, evidence), curve in sorted(calibrations.curves.items())
    ]
    save_json({"format": FORMAT, "curves": curves}, file)


def curve_object(curve: Calibration) -> dict[str, Any]:
    """A calibration in JSON's types; `parse_calibration` reads it."""
    return {**asdict(curve), "figures": dict(curve.figures)}


def parse_calibration(given: Any) -> Calibration:
    """A calibration of JSON's types. Raises `InvalidCalibration` for anything missing, unknown or of another type."""
    known = [each.name for each in fields(Calibration)]
    if not isinstance(given, dict):
        raise InvalidCalibration("not a JSON object")
    if unknown := sorted(set(given) - set(known)):
        raise InvalidCalibration(f"unknown field {unknown[0]!r}; there are {', '.join(known)}")
    if missing := [name for name in known if name not in given]:
        raise InvalidCalibration(f"{missing[0]!r} is missing")
    figures, promised = given["figures"], given["promise"]
    if not isinstance(figures, dict) or not isinstance(given["method"], str) or type(given["rows"]) is not int:
        raise InvalidCalibration("`figures` is no object, `method` no string or `rows` no number")
    names = [each.name for each in fields(Promise)]
    if promised is not None and (not isinstance(promised, dict) or sorted(promised) != sorted(names)):
        raise InvalidCalibration(f"`promise` is neither null nor an object with {', '.join(names)}")
    return Calibration(
        slope=_number(given["slope"], "slope"),
        offsets=_numbers(given["offsets"], "offsets"),
        evidence=_number(given["evidence"], "evidence"),
        knots=_numbers(given["knots"], "knots"),
        probabilities=_numbers(given["probabilities"], "probabilities"),
        promise=None if promised is None else Promise(**{name: _number(promised[name], f"promise.{name}") for name in names}),
        method=given["method"],
        rows=given["rows"],
        figures={str(name): _number(value, f"figures.{name}") for name, value in figures.items()},
    )


def _number(given: Any, name: str) -> float:
    try:
        if type(given) not in (int, float) or not math.isfinite(given):
            raise ValueError
        return float(given)
    except (ValueError, OverflowError) as error:
        raise InvalidCalibration(f"`{name}` is no finite number") from error


def _numbers(given: Any, name: str) -> tuple[float, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidCalibration(f"`{name}` is no list of numbers")
    return tuple(_number(each, name) for each in given)
