import numpy as np
import pytest

from hangtag.calibration import Clues
from hangtag.errors import InvalidData
from serve.calibrating import ISOTONIC, PLATT, Cases, fit_curve, log_loss


def cases(rows: int, *, seed: int = 5, bend: float = 0.0) -> tuple[Cases, np.ndarray]:
    """Five tags a row, and the probability of each to be right: logistic in path and rank, with a step at 0 of `bend`."""
    random = np.random.default_rng(seed)
    row, rank = np.repeat(np.arange(rows), 5), np.tile(np.arange(1, 6), rows)
    log_probability, evidence = np.log(random.random(5 * rows)), random.normal(0, 1, 5 * rows)
    logit = 1.5 * log_probability - 0.8 * rank + 1.2 * evidence + 3
    logit += bend * (logit > 0)
    true = 1 / (1 + np.exp(-logit))
    return Cases(log_probability, rank, evidence, random.random(5 * rows) < true, row), true


def test_probabilities_are_found_again() -> None:
    known, _ = cases(2_000)
    new, true = cases(2_000, seed=6)
    curve = fit_curve(known).curve
    found = curve.at(new.scores(curve))
    assert np.abs(found - true).mean() < 0.02
    assert abs(found.mean() - new.right.mean()) < 0.02
    assert (curve.rows, len(curve.offsets)) == (2_000, 5)


def test_the_better_of_both_curves_on_rows_left_out_is_kept() -> None:
    straight, _ = cases(400)
    bent, _ = cases(4_000, bend=3.0)
    assert fit_curve(straight).curve.method == PLATT
    fitted = fit_curve(bent)
    assert fitted.curve.method == ISOTONIC
    losses = fitted.curve.figures
    assert losses["log loss, isotonic"] < losses["log loss, platt"]
    assert losses["log loss, isotonic"] == pytest.approx(log_loss(fitted.held_out, bent.right), abs=1e-6)


def test_what_holds_a_row_out_has_not_seen_it() -> None:
    known, _ = cases(100)
    before = fit_curve(known).held_out
    changed = Cases(known.log_probability, known.rank, known.evidence, known.right.copy(), known.row)
    changed.right[known.row == 7] ^= True
    after = fit_curve(changed).held_out
    assert np.array_equal(before[known.row % 5 == 7 % 5], after[known.row % 5 == 7 % 5])
    assert not np.array_equal(before, after)


def test_what_would_speak_against_a_tag_does_not_count() -> None:
    known, _ = cases(300)
    turned = Cases(known.log_probability, known.rank, -known.evidence, known.right, known.row)
    curve = fit_curve(turned).curve
    assert curve.evidence == 0
    assert curve.slope > 0


def test_a_promise_is_kept_by_new_rows() -> None:
    known, _ = cases(1_000)
    new, _ = cases(3_000, seed=9)
    curve = fit_curve(known, 0.8).curve
    assert curve.promise is not None
    found = curve.at(new.scores(curve))
    passed = np.array([curve.passes(each) for each in found])
    assert new.right[passed].mean() > 0.78
    assert passed.mean() == pytest.approx(curve.promise.share, abs=0.05)


def test_rows_become_cases() -> None:
    found = Cases.of([[(Clues(-1.0, 1, 2.0), True), (Clues(-2.0, 2), False)], [], [(Clues(-3.0, 1), True)]])
    assert found.row.tolist() == [0, 0, 2]
    assert found.rank.tolist() == [1, 2, 1]
    assert found.evidence.tolist() == [2.0, 0.0, 0.0]
    assert (len(found), found.rows) == (3, 3)


def test_too_little_to_fit_is_said() -> None:
    with pytest.raises(InvalidData, match="19 rows are too few"):
        fit_curve(cases(19)[0])
    known, _ = cases(30)
    for right in (np.ones(150, dtype=bool), np.zeros(150, dtype=bool)):
        with pytest.raises(InvalidData, match="nothing to calibrate"):
            fit_curve(Cases(known.log_probability, known.rank, known.evidence, right, known.row))
