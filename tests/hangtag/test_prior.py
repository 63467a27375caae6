import math

import numpy as np
import pytest

from hangtag.errors import InvalidRules
from hangtag.prior import TagPrior


def test_evidence_adds_up():
    prior = TagPrior({1: 2.0, 2: 1.0}) + TagPrior({2: 3.0, 5: -1.0}).scaled(2)
    assert prior.weights == {1: 2.0, 2: 7.0, 5: -2.0}


@pytest.mark.parametrize("weight", [math.nan, math.inf, -10_001])
def test_weights_are_numbers_that_32_bits_hold(weight):
    with pytest.raises(InvalidRules, match="between -10000 and 10000"):
        TagPrior({1: weight})


def test_weights_of_some_tags():
    assert TagPrior({0: 1.0, 2: 3.0}).within(np.array([False, True, True])).weights == {2: 3.0}
