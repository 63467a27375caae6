"""`PriorRows`: the priors of many answers at once, as torch operations: what each branch of a trie gets. It knows weights of tags
and which of them may still come, nothing of logits.

Biases are given up to a constant a row, which no probability depends on: a branch gets the best weight below it, 0 where no tag
below has one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hangtag.constraint import AnswerConstraint
from hangtag.trie import ROOT
from serve.decoding.forest import ENDS, LOW
from serve.decoding.table import Column, RowTable
from serve.decoding.tags import NO_LEAF, TagRows


class PriorRows:
    """For each of R rows its weights, by leaf, and the branches on the way to those leaves."""

    def __init__(self, tags: TagRows, rows: int, device: torch.device) -> None:
        self._tags = tags
        self.table = RowTable(
            rows,
            device,
            [
                Column("leaf", torch.int32, NO_LEAF, wide=True),
                Column("weight", torch.float32, wide=True),
                Column("branch_from", blank=-1, wide=True),
                *(Column(f"branch_{name}", torch.int32, wide=True) for name in ("token", "low", "high")),
                Column("branch_best", torch.float32, wide=True),
                Column("way_branch", wide=True),
                Column("way_leaf", blank=-1, wide=True),
            ],
        )

    def put(self, row: int, constraint: AnswerConstraint) -> None:
        """Begin a row, whose tags have been put in."""
        trie = constraint.trie
        branches: dict[int, int] = {}
        ways: list[tuple[int, int]] = []
        parents: list[int] = []
        for number, leaf in enumerate(constraint.prior_leaves):
            above = ROOT
            for node in trie.path(leaf):
                if node not in branches:
                    branches[node] = len(branches)
                    parents.append(above)
                ways.append((branches[node], number))
                above = node
        nodes, count = list(branches), len(branches)
        self.table.put(
            row,
            leaf=(constraint.prior_leaves, len(constraint.prior_leaves)),
            weight=(constraint.prior_weights, len(constraint.prior_weights)),
            branch_from=(parents, count),
            branch_token=([int(trie.edge_token[node - 1]) for node in nodes], count),
            branch_low=([int(trie.leaf_start[node]) for node in nodes], count),
            branch_high=([int(trie.leaf_end[node]) for node in nodes], count),
            branch_best=([], count),
            way_branch=([branch for branch, _ in ways], len(ways)),
            way_leaf=([leaf for _, leaf in ways], len(ways)),
        )
        self.weigh(torch.tensor([row], device=self.table.device))

    def weigh(self, r: Tensor) -> None:
        """Find the best weight below every branch anew, after tags have gone."""
        table = self.table
        leaf, way_leaf, way_branch = table["leaf"][r], table["way_leaf"][r], table["way_branch"][r]
        low = torch.where(leaf < NO_LEAF, leaf, 0)
        comes = (self._tags.open_leaves(r, low, low + 1) > 0) & (leaf < NO_LEAF)
        number = way_leaf.clamp(min=0)
        comes = comes.gather(1, number) & (way_leaf >= 0)
        weight = torch.where(comes, table["weight"][r].gather(1, number), -math.inf)
        best = torch.full_like(table["branch_best"][r], -math.inf).scatter_reduce(1, way_branch, weight, "amax")
        weighted = torch.zeros_like(table["branch_low"][r]).scatter_add(1, way_branch, comes.int())
        others = self._tags.open_leaves(r, table["branch_low"][r], table["branch_high"][r]) > weighted
        best = torch.where(others | (weighted == 0), best.clamp(min=0), best)
        table["branch_best"][r] = best

    def bias(self, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, B) tokens with (n, B) biases, different ones where these are not 0, and (n,) that of the separator."""
        table, at = self.table, self._tags.table["node"][r]
        branches = torch.where(table["branch_from"][r] == at[:, None], table["branch_best"][r], 0)
        node = self._tags.node(r)
        ends_here = (table["leaf"][r] == node[:, LOW, None]) & (node[:, ENDS, None] > 0)
        separator = torch.where(ends_here, table["weight"][r], 0).sum(dim=1)
        return table["branch_token"][r], branches, torch.where(at == ROOT, 0, separator)
