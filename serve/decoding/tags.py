"""`TagRows`: the tags of many answers at once, as torch operations. It is `hangtag.branches` and the tags' part of
`hangtag.constraint` over tensors; it knows no explanations and no logits.

`r`, (n,) int64, are the rows that an operation is about and `active`, (n,) bool, those of them that it may change. Rows are put
in on the host; nothing else here waits for the device or has shapes that depend on data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hangtag.branches import FEW
from hangtag.constraint import AnswerConstraint
from hangtag.state import InTags
from hangtag.trie import ROOT
from serve.decoding.forest import (
    CLASS,
    CLASSES_A_MASK,
    DEGREE,
    DENSE,
    ENDS,
    FIRST_CHILD,
    HIGH,
    KEY_SHIFT,
    LOW,
    OUT_COUNT,
    OUT_FIRST,
    TOKEN,
    Forest,
    Planted,
)
from serve.decoding.table import Column, RowTable, add_bits, pairs, spread

NO_LEAF = torch.iinfo(torch.int32).max
NUMBERS = (
    *("node", "count", "closed", "least", "most", "waiting", "separator"),
    *("node_base", "leaf_base", "out_base", "before_base", "before_stride", "mask_base", "mask_groups", "mask_stride"),
)


class TagRows:
    """State of R rows in their tags, and what their rules say."""

    columns = (
        *(Column(name) for name in NUMBERS),
        Column("used", torch.int32, -1, wide=True),
        Column("out", torch.int32, NO_LEAF, wide=True),
        Column("out_open", torch.int32, NO_LEAF, wide=True),
        Column("standing", wide=True),
        Column("class_limit", wide=True),
        Column("class_most", blank=NO_LEAF, wide=True),
        Column("class_waits", wide=True),
    )

    def __init__(self, forest: Forest, table: RowTable) -> None:
        self._forest, self.table = forest, table
        self._planted: dict[int, Planted] = {}
        self._version = forest.version
        self._classes, self._groups, self._most_ruled_out = 0, 1, 0

    def put(self, row: int, constraint: AnswerConstraint, state: InTags) -> None:
        """Begin a row in `state`."""
        self.drop(row)
        ruled, most_tags, table = constraint.ruled, constraint.rules.max_tags, self.table
        planted = self._planted[row] = self._forest.plant(constraint.branches)
        self._classes, self._groups = max(self._classes, len(ruled.class_limit)), max(self._groups, planted.mask_groups)
        self._most_ruled_out = max(self._most_ruled_out, planted.most_ruled_out)
        most_out = min(sum(planted.ruled_out_counts[:most_tags]) + most_tags, len(ruled.trie))
        table.widen(used=most_tags, out=most_out, out_open=most_out)
        table.put(
            row,
            node=state.node,
            count=len(state.used),
            closed=state.closed,
            least=constraint.rules.min_tags,
            most=most_tags,
            waiting=ruled.waiting,
            separator=constraint.compiled.separator_id,
            used=state.used,
            out=state.out,
            out_open=[leaf for leaf in state.out if constraint.branches.is_open(leaf, state.closed, ())],
            standing=(*state.counts, 0),  # the last is for classes without a limit
            class_limit=[limit if limit >= 0 else len(ruled.limits) for limit in ruled.class_limit],
            class_most=[ruled.limits[limit] if limit >= 0 else NO_LEAF for limit in ruled.class_limit],
            class_waits=list(map(int, ruled.class_waits)),
        )
        if self._version == self._forest.version:
            self._place(row, planted)
        else:
            self._version = self._forest.version
            for other, at in self._planted.items():
                self._place(other, at)

    def drop(self, row: int) -> None:
        """Forget a row."""
        if (planted := self._planted.pop(row, None)) is not None:
            self._forest.release(planted)
            self.table.put(row, **dict.fromkeys(NUMBERS, 0))  # a place that there will always be

    def masks(self, r: Tensor) -> Tensor:
        """(n,) which stored mask a row begins with: a dense node's, or the empty one."""
        table, dense = self.table, self.node(r)[:, DENSE]
        stride = table["mask_stride"][r]
        stored = table["mask_base"][r] + dense * table["mask_groups"][r] * stride + (~table["closed"][r] & (stride - 1))
        return torch.where((dense >= 0) & ~self._is_full(r), stored, 0)

    def node(self, r: Tensor) -> Tensor:
        """(n, NODE_COLUMNS) int32, the forest's line for the node that a row is at."""
        return self._forest.nodes.data[self.table["node_base"][r] + self.table["node"][r]]

    def fill(self, r: Tensor, active: Tensor, words: Tensor) -> None:
        """Complete the masks that `masks` named."""
        node, full = self.node(r), self._is_full(r)
        dense = active & ~full & (node[:, DENSE] >= 0)
        self._fill_few(r, torch.where(active & ~full & ~dense, node[:, DEGREE], 0), node, words)
        if self._groups > 1:
            self._join_groups(r, dense, node, words)
        self._clear_exhausted(r, dense, node, words)
        ends = active & (node[:, ENDS] > 0)
        low = node[:, LOW]
        ends &= self.open_leaves(r, low, low + 1) > 0
        at_root = self.table["node"][r] == ROOT
        may_end = torch.where(at_root, active & (self.table["count"][r] >= self.table["least"][r]), ends)
        add_bits(words, r, self.table["separator"][r].int(), may_end)

    def advance(self, r: Tensor, active: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Go down a branch or end a tag; returns where the tags have ended, and where a tag has, to be completed."""
        table, at, is_separator = self.table, self.table["node"][r], token == self.table["separator"][r]
        base = table["node_base"][r]
        child = torch.searchsorted(self._forest.token_keys.data, base + at << KEY_SHIFT | token) - base
        table["node"][r] = torch.where(active & ~is_separator, child, at)
        return active & is_separator & (at == ROOT), active & is_separator & (at != ROOT)

    def complete(self, r: Tensor, active: Tensor) -> None:
        """The tag that ends at a row's node stands: count it, close what it closes, leave out what it rules out."""
        table, node = self.table, self.node(r)
        leaf, count = node[:, LOW], table["count"][r]
        line = self._forest.leaves.data[table["leaf_base"][r] + leaf]
        used, last = table["used"][r], table["used"].shape[1] - 1
        added = used.scatter(1, count.clamp(max=last)[:, None], leaf[:, None])
        table["used"][r] = torch.where(active[:, None], added, used)
        table["count"][r] = count + active
        table["node"][r] = torch.where(active, ROOT, table["node"][r])
        if self._classes:
            self._close(r, active, line[:, CLASS])
        self._leave_out(r, active, leaf, line)

    def open_leaves(self, rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """(F,) how many leaves of intervals, (F,) each, may still come in (F,) rows."""
        out = self.table["out_open"][rows]
        gone = (out >= low[:, None]) & (out < high[:, None])
        return self._of_open_classes(rows, low, high) - gone.sum(dim=1)

    def _of_open_classes(self, rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
        count = high - low
        if self._classes:
            before, closed = self._forest.before.data, self.table["closed"][rows]
            base, stride, last = self.table["before_base"][rows], self.table["before_stride"][rows], len(before) - 1
            for position in range(self._classes):
                shut = closed >> position & 1
                line = (base + stride * position) * shut
                count = count - (before[(line + high).clamp_(max=last)] - before[(line + low).clamp_(max=last)]) * shut
        return count

    def _fill_few(self, r: Tensor, degree: Tensor, node: Tensor, words: Tensor) -> None:
        line, number, valid = spread(degree, FEW)
        nodes, rows = self._forest.nodes.data, r[line]
        places = (self.table["node_base"][r] + node[:, FIRST_CHILD])[line] + number
        child = nodes[places.clamp_(max=len(nodes) - 1)]
        live = valid & (self.open_leaves(rows, child[:, LOW], child[:, HIGH]) > 0)
        add_bits(words, rows, child[:, TOKEN], live)

    def _clear_exhausted(self, r: Tensor, dense: Tensor, node: Tensor, words: Tensor) -> None:
        """Clear the bits of children, of dense nodes, all of whose tags are out."""
        forest, out = self._forest, self.table["out_open"][r]
        below = dense[:, None] & (out < node[:, HIGH, None]) & (out >= node[:, LOW, None])
        line, number, valid = pairs(below)
        here = (self.table["node_base"][r] + self.table["node"][r])[line]
        place = torch.searchsorted(forest.leaf_keys.data, here << KEY_SHIFT | out[line, number], right=True) - 1
        again = torch.zeros_like(valid)
        again[1:] = (place[1:] == place[:-1]) & (line[1:] == line[:-1]) & valid[:-1]  # leaves ascend, so do children
        child = forest.nodes.data[place]
        rows, low, high = r[line], child[:, LOW], child[:, HIGH]
        exhausted = (self.open_leaves(rows, low, high) == 0) & (self._of_open_classes(rows, low, high) > 0)
        exhausted &= valid & ~again & (forest.leaf_keys.data[place] >> KEY_SHIFT == here)
        add_bits(words, rows, child[:, TOKEN], exhausted, clear=True)

    def _is_full(self, r: Tensor) -> Tensor:
        return (self.table["node"][r] == ROOT) & (self.table["count"][r] >= self.table["most"][r])

    def _join_groups(self, r: Tensor, active: Tensor, node: Tensor, words: Tensor) -> None:
        groups, stride = self.table["mask_groups"][r], self.table["mask_stride"][r]
        first = self.table["mask_base"][r] + node[:, DENSE] * groups * stride
        for group in range(1, self._groups):
            opened = (~self.table["closed"][r] >> group * CLASSES_A_MASK) & (stride - 1)
            stored = torch.where(active & (group < groups), first + group * stride + opened, 0)
            words.index_copy_(0, r, words[r] | self._forest.masks.data[stored])

    def _close(self, r: Tensor, active: Tensor, kind: Tensor) -> None:
        """Count a tag for its class, and see anew which classes are closed."""
        table = self.table
        known = active & (kind >= 0)
        limit = table["class_limit"][r].gather(1, kind.clamp(min=0).long()[:, None])
        standing = table["standing"][r].scatter_add(1, limit, known.long()[:, None])
        table["standing"][r] = standing
        full = standing.gather(1, table["class_limit"][r]) >= table["class_most"][r]
        waits = (table["class_waits"][r] > 0) & (table["count"][r] < table["waiting"][r])[:, None]
        bits = ((full | waits).long() << torch.arange(full.shape[1], device=full.device)).sum(dim=1)
        table["closed"][r] = torch.where(active, bits, table["closed"][r])

    def _leave_out(self, r: Tensor, active: Tensor, leaf: Tensor, line: Tensor) -> None:
        table = self.table
        out = table["out"][r]
        more = leaf[:, None]
        if self._most_ruled_out:
            columns = torch.arange(self._most_ruled_out, device=leaf.device)
            places = (table["out_base"][r] + line[:, OUT_FIRST])[:, None] + columns
            others = self._forest.ruled_out.data[places.clamp_(max=len(self._forest.ruled_out.data) - 1)]
            more = torch.cat([more, torch.where(columns < line[:, OUT_COUNT, None], others, NO_LEAF)], dim=1)
        merged = torch.cat([out, more], dim=1).sort(dim=1).values
        if self._most_ruled_out:
            again = torch.cat([torch.zeros_like(merged[:, :1], dtype=torch.bool), merged[:, 1:] == merged[:, :-1]], dim=1)
            merged = torch.where(again, NO_LEAF, merged).sort(dim=1).values
        out = torch.where(active[:, None], merged[:, : out.shape[1]], out)
        table["out"][r] = table["out_open"][r] = out
        if self._classes:
            table["out_open"][r] = self._without_closed(r, out)

    def _without_closed(self, r: Tensor, out: Tensor) -> Tensor:
        """Leaves whose class is closed are no longer counted one by one."""
        places = (self.table["leaf_base"][r, None] + out).clamp_(max=len(self._forest.leaves.data) - 1)
        kind = self._forest.leaves.data[places][..., CLASS]
        closed = (kind >= 0) & (self.table["closed"][r, None] >> kind.clamp(min=0) & 1 > 0)
        return torch.where(closed, NO_LEAF, out).sort(dim=1).values

    def _place(self, row: int, planted: Planted) -> None:
        self.table.put(
            row,
            node_base=planted.node,
            leaf_base=planted.leaf,
            out_base=planted.ruled_out,
            before_base=planted.before,
            before_stride=len(planted.branches.ruled.trie) + 1,
            mask_base=planted.mask,
            mask_groups=planted.mask_groups,
            mask_stride=planted.mask_stride,
        )
