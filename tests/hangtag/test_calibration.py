import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.calibration import (
    ANY,
    MEMORY,
    STEPS,
    WORDS,
    Calibration,
    Calibrations,
    Clues,
    Promise,
    curve_object,
    parse_calibration,
    promise,
    read_calibrations,
    write_calibrations,
)
from hangtag.errors import InvalidCalibration

CURVE = Calibration(
    slope=0.5,
    offsets=(1.0, 0.0, -1.0),
    evidence=2.0,
    knots=(-4.0, 0.0, 4.0),
    probabilities=(0.1, 0.5, 0.9),
    promise=Promise(0.9, 0.85, 0.4, 0.93),
    method="isotonic",
    rows=300,
    figures={"log loss, isotonic": 0.3},
)
finite = st.floats(-30, 30)
clues = st.builds(Clues, st.floats(-1e6, 0), st.integers(1, 60), finite)


@st.composite
def curves(draw: st.DrawFn) -> Calibration:
    knots = sorted(draw(st.sets(st.floats(-50, 50), min_size=1, max_size=12)))
    values = sorted(draw(st.lists(st.floats(0, 1), min_size=len(knots), max_size=len(knots))))
    offsets = draw(st.lists(finite, min_size=1, max_size=6))
    weight = st.floats(0, 20)
    return Calibration(draw(weight), tuple(offsets), draw(weight), tuple(knots), tuple(values))


def brute_force(cases: list[tuple[float, bool, int]], rows: int, precision: float) -> float | None:
    """The bound as the paper writes it: n / (n + 1) * mean loss + B / (n + 1) <= 0."""
    most = max(sum(row == each for _, _, each in cases) for row in range(rows))
    for step in range(STEPS // 2, STEPS + 1):
        losses = [0.0] * rows
        for probability, right, row in cases:
            if probability >= step / STEPS:
                losses[row] += (not right) - (1 - precision)
        bound = rows / (rows + 1) * (sum(losses) / rows) + precision * most / (rows + 1)
        if bound <= 0 and any(probability >= step / STEPS for probability, _, _ in cases):
            return step / STEPS
    return None


def test_a_score_is_read_off_between_knots_and_level_beyond_them() -> None:
    assert CURVE.probability(Clues(-2.0, 1, 0.0)) == pytest.approx(0.5)  # -1 + 1 + 0
    assert CURVE.probability(Clues(-2.0, 2, 1.5)) == pytest.approx(0.7)  # -1 + 0 + 3: half the way
    assert CURVE.probability(Clues(0.0, 1, 50.0)) == 0.9
    assert CURVE.probability(Clues(float("-inf"), 9, -50.0)) == 0.1
    assert CURVE.probability(Clues(-1.0, 3)) == CURVE.probability(Clues(-1.0, 40)), "the last offset is for all further ranks"


@given(curves(), clues)
def test_a_probability_is_one(curve: Calibration, known: Clues) -> None:
    assert 0 <= curve.probability(known) <= 1


@given(curves(), clues, st.floats(-1e6, 0))
def test_it_never_falls_where_the_path_is_likelier(curve: Calibration, known: Clues, other: float) -> None:
    low, high = sorted((known.log_probability, other))
    assert curve.probability(replace(known, log_probability=low)) <= curve.probability(replace(known, log_probability=high))


@given(curves(), clues, finite)
def test_it_never_falls_where_there_is_more_evidence(curve: Calibration, known: Clues, other: float) -> None:
    low, high = sorted((known.evidence, other))
    assert curve.probability(replace(known, evidence=low)) <= curve.probability(replace(known, evidence=high))


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    known = [Clues(-0.5 * place, place, 0.1 * place) for place in range(1, 7)]
    columns = zip(*((each.log_probability, each.rank, each.evidence) for each in known), strict=True)
    logs, ranks, evidence = (np.array(column) for column in columns)
    assert CURVE.at(CURVE.scores(logs, ranks, evidence)).tolist() == [CURVE.probability(each) for each in known]


def test_what_passes_is_what_reaches_the_threshold_and_nothing_without_a_promise() -> None:
    assert (CURVE.passes(0.85), CURVE.passes(0.8499)) == (True, False)
    assert not replace(CURVE, promise=None).passes(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": -0.1}, "`slope` is negative"),
        ({"evidence": -1.0}, "`evidence` is negative"),
        ({"offsets": ()}, "no offset"),
        ({"knots": (0.0,)}, "one probability for each knot"),
        ({"knots": (), "probabilities": ()}, "no knot"),
        ({"knots": (0.0, 0.0, 1.0)}, "do not ascend"),
        ({"probabilities": (0.1, 0.9, 0.5)}, "fall somewhere"),
        ({"probabilities": (0.1, 0.5, 1.1)}, "not within 0..1"),
        ({"knots": (0.0, 1.0, float("inf"))}, "not finite"),
        ({"slope": float("nan")}, "not finite"),
        ({"promise": Promise(0.9, 1.5, 0.1, 0.9)}, "the promise is not within"),
    ],
)
def test_what_is_no_curve_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCalibration, match=message):
        replace(CURVE, **change)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([True, True, True, False]), st.integers(0, 9)), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.8, 0.9]),
)
def test_the_threshold_is_the_lowest_that_the_bound_allows(cases: list[tuple[float, bool, int]], precision: float) -> None:
    probabilities, right, row = (np.array(column) for column in zip(*cases, strict=True))
    found = promise(probabilities, right, row, 10, precision)
    assert (found.threshold if found else None) == brute_force(cases, 10, precision)
    if found:
        passed = probabilities >= found.threshold
        assert found.kept == pytest.approx(right[passed].mean())
        assert found.kept >= precision
        assert found.share == pytest.approx(passed.mean())


def test_the_promise_is_kept_on_rows_that_were_not_seen() -> None:
    """Rows of five tags whose probabilities are true: over many draws the tags that pass are right as often as was promised."""
    random = np.random.default_rng(7)
    passed = right = 0
    for _ in range(200):
        true = random.beta(2, 1, (2, 300, 5))
        hits = random.random(true.shape) < true
        found = promise(true[0].ravel(), hits[0].ravel(), np.repeat(np.arange(300), 5), 300, 0.9)
        assert found is not None
        accepted = true[1] >= found.threshold
        passed, right = passed + int(accepted.sum()), right + int(hits[1][accepted].sum())
    assert 0.9 <= right / passed < 0.92


def test_a_tag_that_is_likelier_wrong_never_passes() -> None:
    probabilities = np.array([0.99] * 300 + [0.2] * 10)
    found = promise(probabilities, probabilities > 0.5, np.arange(310), 310, 0.9)
    assert found is not None
    assert (found.threshold, found.kept) == (0.5, 1.0), "300 right ones would make up for the 10"


def test_what_can_not_be_promised_is_not() -> None:
    few = np.full(8, 0.99), np.ones(8, dtype=bool), np.arange(8)
    assert promise(*few, 8, 0.9) is None, "eight right ones of eight do not show that 90% are right"
    assert promise(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=int), 0, 0.9) is None
    assert promise(np.full(500, 0.5), np.arange(500) % 2 == 0, np.arange(500), 500, 0.9) is None


def test_the_one_of_a_vocabulary_comes_before_the_one_for_any() -> None:
    other = replace(CURVE, rows=9)
    found = Calibrations().with_curve("abc", WORDS, CURVE).with_curve(ANY, WORDS, other)
    assert found.find("abc", WORDS) is CURVE
    assert found.find("xyz", WORDS) is other
    assert found.find("xyz", WORDS, own=True) is None
    assert found.find("abc", MEMORY) is None


@given(curves())
def test_what_was_written_is_read(curve: Calibration) -> None:
    assert parse_calibration(json.loads(json.dumps(curve_object(curve)))) == curve


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    calibrations = Calibrations({("abc", WORDS): CURVE, (ANY, WORDS): replace(CURVE, promise=None), ("abc", MEMORY): CURVE})
    write_calibrations(calibrations, file)
    assert read_calibrations(file) == calibrations
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.json"]


def content(**changes: Any) -> dict[str, Any]:
    curve = {"vocabulary": ANY, "evidence_is": WORDS, **curve_object(CURVE), **changes}
    return {"format": 1, "curves": [{name: value for name, value in curve.items() if value != "gone"}]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "no calibrations of this version"),
        ({"format": 2, "curves": []}, "no calibrations of this version"),
        ({"format": 1, "curves": [7]}, "curve 1: `vocabulary`"),
        (content(vocabulary=7), "curve 1: `vocabulary`"),
        (content(evidence_is="model"), "curve 1: `evidence_is` is neither"),
        (content(slope="gone"), "curve 1: 'slope' is missing"),
        (content(colour=1), "curve 1: unknown field 'colour'"),
        (content(slope="1"), "`slope` is no finite number"),
        (content(slope=True), "`slope` is no finite number"),
        (content(slope=10**400), "`slope` is no finite number"),
        (content(slope=float("nan")), "`slope` is no finite number"),
        (content(knots="123"), "`knots` is no list of numbers"),
        (content(knots=[0, None, 1]), "`knots` is no finite number"),
        (content(knots=[0, 2, 1]), "curve 1: the knots do not ascend"),
        (content(rows="many"), "`rows` no number"),
        (content(figures=[]), "`figures` is no object"),
        (content(promise={"precision": 0.9}), "`promise` is neither null nor"),
        ({"format": 1, "curves": content()["curves"] * 2}, "curve 2: a second one"),
    ],
)
def test_a_broken_file_is_named_with_the_curve_at_fault(tmp_path: Path, given: Any, message: str) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    with pytest.raises(InvalidCalibration, match=message) as caught:
        read_calibrations(file)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCalibration, match=r"gone\.json: can't be read: No such file"):
        read_calibrations(tmp_path / "gone.json")
