"""`PriorRows`: the priors of many answers at once, as torch operations: what each branch of a trie gets. It knows weights of tags
and which of them may still come, nothing of logits.

Biases are given up to a constant a row, which no probability depends on: a branch gets the best weight below it, 0 where no tag
below has one. These are looked at anew (`weigh`) only when a bias is asked for.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.trie import ROOT
from serve.decoding.forest import ENDS, LOW
from serve.decoding.table import Column, RowTable
from serve.decoding.tags import NO_LEAF, TagRows


class PriorRows:
    """For each of R rows its weights, by leaf, and the branches on the way to those leaves."""

    columns = (
        Column("stale"),  # for the host, which need not weigh at each step
        Column("prior_leaf", torch.int32, NO_LEAF, wide=True),
        Column("prior_weight", torch.float32, wide=True),
        Column("branch_from", blank=-1, wide=True),
        *(Column(f"branch_{name}", torch.int32, wide=True) for name in ("token", "low", "high")),
        Column("branch_best", torch.float32, wide=True),
        Column("way_branch", wide=True),
        Column("way_leaf", blank=-1, wide=True),
    )

    def __init__(self, tags: TagRows, table: RowTable) -> None:
        self._tags, self.table = tags, table

    def put(self, row: int, constraint: AnswerConstraint) -> None:
        """Begin a row, whose tags have been put in."""
        trie, table = constraint.trie, self.table
        on_way, above, position = constraint.branches.ways(constraint.prior_leaves)
        is_first = np.ones(len(on_way), np.bool_)
        is_first[1:] = on_way[1:] != on_way[:-1]
        nodes = on_way[is_first]
        table.widen(branch_best=len(nodes))
        table.put(
            row,
            prior_leaf=constraint.prior_leaves,
            prior_weight=constraint.prior_weights,
            branch_from=above[is_first],
            branch_token=trie.edge_token[nodes - 1],
            branch_low=trie.leaf_start[nodes],
            branch_high=trie.leaf_end[nodes],
            way_branch=is_first.cumsum() - 1,
            way_leaf=position,
            stale=1,
        )

    def weigh(self, r: Tensor) -> None:
        """Find the best weight below every branch anew, where tags have gone since."""
        table = self.table
        leaf, way_leaf, way_branch = table["prior_leaf"][r], table["way_leaf"][r], table["way_branch"][r]
        known = torch.where(leaf < NO_LEAF, leaf, 0)
        comes = (self._open(r, known, known + 1) > 0) & (leaf < NO_LEAF)
        comes = comes.gather(1, way_leaf.clamp(min=0)) & (way_leaf >= 0)
        weight = torch.where(comes, table["prior_weight"][r].gather(1, way_leaf.clamp(min=0)), -math.inf)
        best = torch.full_like(table["branch_best"][r], -math.inf).scatter_reduce(1, way_branch, weight, "amax")
        weighted = torch.zeros_like(table["branch_low"][r]).scatter_add(1, way_branch, comes.int())
        others = self._open(r, table["branch_low"][r], table["branch_high"][r]) > weighted
        table["branch_best"][r] = torch.where(others | (weighted == 0), best.clamp(min=0), best)

    def _open(self, r: Tensor, low: Tensor, high: Tensor) -> Tensor:
        rows = r[:, None].expand(low.shape).reshape(-1)
        return self._tags.open_leaves(rows, low.reshape(-1), high.reshape(-1)).view(low.shape)

    def bias(self, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, B) tokens with (n, B) biases, different ones where these are not 0, and (n,) that of the separator."""
        table, at = self.table, self._tags.table["node"][r]
        branches = torch.where(table["branch_from"][r] == at[:, None], table["branch_best"][r], 0)
        node = self._tags.node(r)
        ends_here = (table["prior_leaf"][r] == node[:, LOW, None]) & (node[:, ENDS, None] > 0)
        separator = torch.where(ends_here, table["prior_weight"][r], 0).sum(dim=1)
        return table["branch_token"][r], branches, torch.where(at == ROOT, 0, separator)
