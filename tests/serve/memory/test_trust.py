import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from hangtag.calibration import Calibration, Promise
from hangtag.errors import InvalidMemory
from serve.memory.evidence import COLUMNS, StatedRates, gather
from serve.memory.neighbours import Said
from serve.memory.trust import DEFAULT, LEAST_SPREAD, STEADINESS, Trust, fit_weights, read_trust, write_trust

FINITE = st.floats(-1e6, 1e6)


@given(
    st.floats(-20, 20),
    st.fixed_dictionaries(dict.fromkeys(COLUMNS, FINITE)),
    st.floats(0, 1),
    st.none() | st.floats(0, 100),
    st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.integers(9, 99))),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    bias: float,
    weights: dict[str, float],
    letters: float,
    prior: float | None,
    stated: dict[str, tuple[int, int]],
) -> None:
    file = tmp_path_factory.mktemp("trust") / "trust.json"
    curve = Calibration(0.0, (0.0, -1.0), 1.0, (-1.0, 1.0), (0.1, 0.9), Promise(0.9, 0.8, 0.5, 0.95), "platt", 12)
    trust = Trust(bias, weights, letters, prior, -1.5, 0.25, StatedRates(stated), 12, {"nDCG@5, fitted": 0.5}, curve)
    write_trust(trust, file)
    found = read_trust(file)
    assert (found.hash, found.fitted_on, found.figures) == (trust.hash, 12, trust.figures)
    assert replace(found, stated=trust.stated) == trust


def test_where_nothing_was_fitted_the_defaults_hold(tmp_path: Path) -> None:
    assert read_trust(tmp_path / "trust.json") == DEFAULT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "made by another version"),
        ({"weights": {"ridge": 1.0}}, "made by another version"),
        ({"bias": "high"}, "no finite number"),
        ({"bias": float("nan")}, "no finite number"),
        ({"figures": {"P@1": None}}, "no finite number"),
        ({"letters": 1.5}, "not in 0..1"),
        ({"prior": -1}, "below 0"),
        ({"stated": {"a": 1}}, "cannot unpack"),
        ({"curve": {"slope": 1}}, "'offsets' is missing"),
        ({"more": 1}, "unexpected keyword"),
    ],
)
def test_a_broken_file_is_an_error_that_says_what_to_do(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "trust.json"
    write_trust(DEFAULT, file)
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(InvalidMemory, match=rf"trust\.json: .*{message}.*`hangtag memory fit` again"):
        read_trust(file)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"format": 1'])
def test_a_file_that_is_no_trust_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "trust.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidMemory, match="`hangtag memory fit` again, or remove the file"):
        read_trust(file)


def test_fitting_is_penalised_logistic_regression() -> None:
    chance = np.random.default_rng(0)
    table = chance.normal(size=(2_000, len(COLUMNS))) * np.linspace(0.2, 5, len(COLUMNS))
    truth = chance.normal(size=len(COLUMNS)) / np.linspace(0.2, 5, len(COLUMNS))
    right = chance.random(2_000) < 1 / (1 + np.exp(-(table @ truth - 2)))
    flat = replace(DEFAULT, bias=0.0, weights=dict.fromkeys(COLUMNS, 0.0))
    bias, weights = fit_weights(table, right, flat)
    spread = table.std(axis=0)
    peer = LogisticRegression(C=1 / STEADINESS, tol=1e-8, max_iter=1_000).fit(table / spread, right)
    assert [weights[name] for name in COLUMNS] == pytest.approx((peer.coef_[0] / spread).tolist(), rel=0.02, abs=0.005)
    assert bias == pytest.approx(float(peer.intercept_[0]), rel=0.01)


def test_of_an_unfamiliar_listing_the_weights_are_believed_less() -> None:
    one = np.array([0.5])
    said = Said(np.array([3]), one, one, one, one, one, covered=0.1)
    evidence = gather(said, [], lambda tags: tags, lambda tag: 0.0)
    trust = replace(DEFAULT, bias=5.0)
    (believed,) = trust.logits(evidence)
    (familiar,) = replace(trust, usual=0.1).logits(evidence)
    (half,) = replace(trust, usual=0.2).logits(evidence)
    (faded,) = DEFAULT.logits(replace(evidence, table=evidence.faded(0.5)))
    assert believed == familiar
    assert half == pytest.approx((believed + faded) / 2)


def test_few_listings_change_little_and_columns_that_never_vary_nothing() -> None:
    table = np.zeros((3, len(COLUMNS)))
    table[:, 0] = [0.1, 0.5, 0.9]
    _, weights = fit_weights(table, np.array([False, False, True]), DEFAULT)
    for name in COLUMNS[1:]:
        assert weights[name] == pytest.approx(DEFAULT.weights[name], abs=1e-6)
    assert abs(weights[COLUMNS[0]] - DEFAULT.weights[COLUMNS[0]]) < 1 / LEAST_SPREAD


@pytest.mark.parametrize("right", [True, False])
def test_evidence_that_is_all_right_or_all_wrong_still_gives_finite_weights(right: bool) -> None:
    table = np.random.default_rng(1).random((50, len(COLUMNS)))
    bias, weights = fit_weights(table, np.full(50, right), DEFAULT)
    assert np.isfinite([bias, *weights.values()]).all()
