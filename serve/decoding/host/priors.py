"""The prior of a row: `serve.decoding.priors` in machine code."""

from __future__ import annotations

import numpy as np

from hangtag.trie import ROOT
from serve.decoding.forest import ENDS, LOW
from serve.decoding.host.native import native
from serve.decoding.host.tables import Floats, Tables
from serve.decoding.host.tags import open_leaves

NEVER = np.float32(-np.inf)


@native
def add_prior(t: Tables, row: int, logits: Floats) -> None:
    """Add what the prior gives to each branch at a row's node."""
    answer, at, ints, floats = t.answers[row], t.at[0], t.ints[row], t.floats[row]
    if answer.stale:
        answer.stale = 0
        _weigh(t, row)
    for branch in range(at.branch_from_width):
        if t.longs[row, at.branch_from + branch] == answer.node:
            logits[ints[at.branch_token + branch]] += floats[at.branch_best + branch]
    node = t.nodes[answer.node_base + answer.node]
    if answer.node != ROOT and node[ENDS]:
        for position in range(at.prior_leaf_width):
            if ints[at.prior_leaf + position] == node[LOW]:
                logits[answer.separator] += floats[at.prior_weight + position]


@native
def _weigh(t: Tables, row: int) -> None:
    """Find the best weight below every branch anew: some tags have gone."""
    answer, at, ints, longs, floats = t.answers[row], t.at[0], t.ints[row], t.longs[row], t.floats[row]
    out = ints[at.out_open : at.out_open + at.out_open_width]
    way = 0
    for branch in range(at.branch_best_width):
        best, weighted = NEVER, 0
        while way < at.way_leaf_width and longs[at.way_branch + way] == branch and longs[at.way_leaf + way] >= 0:
            position = longs[at.way_leaf + way]
            leaf = ints[at.prior_leaf + position]
            if open_leaves(answer, t.before, out, leaf, leaf + 1) > 0:
                weighted += 1
                best = max(best, floats[at.prior_weight + position])
            way += 1
        low, high = ints[at.branch_low + branch], ints[at.branch_high + branch]
        if weighted == 0 or open_leaves(answer, t.before, out, low, high) > weighted:
            best = max(best, np.float32(0))
        floats[at.branch_best + branch] = best
