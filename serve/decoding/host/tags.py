"""A row in its tags: `serve.decoding.tags` in machine code. It knows tries under rules, no explanations and no logits."""

from __future__ import annotations

from hangtag.explanation import START
from hangtag.trie import ROOT
from serve.decoding.forest import (
    CLASS,
    CLASSES_A_MASK,
    DEGREE,
    DENSE,
    ENDS,
    FIRST_CHILD,
    HIGH,
    LOW,
    NOTHING,
    OUT_COUNT,
    OUT_FIRST,
    TOKEN,
)
from serve.decoding.host.masks import allow, flip, join, place
from serve.decoding.host.native import native
from serve.decoding.host.tables import Int32, Int64, Record, Tables
from serve.decoding.phases import END, EXPLANATION
from serve.decoding.tags import NO_LEAF


@native
def open_leaves(answer: Record, before: Int32, out: Int32, low: int, high: int) -> int:
    """How many leaves of an interval may still come; `out`, ascending, are the leaves of open classes that can't."""
    count, closed, line = high - low, answer.closed, answer.before_base
    while closed:
        if closed & 1:
            count -= before[line + high] - before[line + low]
        closed >>= 1
        line += answer.before_stride
    first = position_of(out, 0, len(out), low)
    while first < len(out) and out[first] < high:
        first += 1
        count -= 1
    return count


@native
def fill_tags(t: Tables, row: int) -> None:
    """The mask of a row."""
    answer, at, words, changes = t.answers[row], t.at[0], t.words[row], t.changes[row]
    out = t.ints[row, at.out_open : at.out_open + at.out_open_width]
    at_root, base = answer.node == ROOT, answer.node_base
    node = t.nodes[base + answer.node]
    if at_root and answer.count >= answer.most:
        place(t, row, NOTHING)
    elif node[DENSE] >= 0:
        _fill_dense(t, row, node, out)
    else:
        place(t, row, NOTHING)
        for child in t.nodes[base + node[FIRST_CHILD] : base + node[FIRST_CHILD] + node[DEGREE]]:
            if open_leaves(answer, t.before, out, child[LOW], child[HIGH]) > 0:
                allow(words, changes, child[TOKEN])
    if at_root:
        may_separate = answer.count >= answer.least
    else:
        may_separate = node[ENDS] > 0 and open_leaves(answer, t.before, out, node[LOW], node[LOW] + 1) > 0
    if may_separate:
        allow(words, changes, answer.separator)


@native
def _fill_dense(t: Tables, row: int, node: Int32, out: Int32) -> None:
    answer, words, changes = t.answers[row], t.words[row], t.changes[row]
    stride, opened = answer.mask_stride, ~answer.closed
    stored = answer.mask_base + node[DENSE] * answer.mask_groups * stride
    place(t, row, stored + (opened & (stride - 1)))
    for group in range(1, answer.mask_groups):
        join(words, changes, t.masks[stored + group * stride + (opened >> (group * CLASSES_A_MASK) & (stride - 1))])
    begin = answer.node_base + node[FIRST_CHILD]
    children = t.nodes[begin : begin + node[DEGREE]]
    at = position_of(out, 0, len(out), node[LOW])
    while at < len(out) and out[at] < node[HIGH]:
        child = _child(children, LOW, out[at] + 1) - 1
        if child < 0:
            at += 1  # its tag ends here
            continue
        if open_leaves(answer, t.before, out, children[child, LOW], children[child, HIGH]) == 0:
            flip(words, changes, children[child, TOKEN])
        at = position_of(out, at, len(out), children[child, HIGH])


@native
def advance_tags(t: Tables, row: int, token: int) -> None:
    """Go down a branch, end a tag, or end the tags; a token that is not allowed changes nothing."""
    answer = t.answers[row]
    node = t.nodes[answer.node_base + answer.node]
    if token != answer.separator:
        first = answer.node_base + node[FIRST_CHILD]
        children = t.nodes[first : first + node[DEGREE]]
        child = _child(children, TOKEN, token)
        if child < len(children) and children[child, TOKEN] == token:
            answer.node = node[FIRST_CHILD] + child
    elif answer.node == ROOT:
        answer.phase = EXPLANATION if answer.explains else END
        answer.left = answer.longest + 1
        answer.text = START
    elif node[ENDS] and answer.count < answer.most:
        _complete(t, row, node[LOW])


@native
def _complete(t: Tables, row: int, leaf: int) -> None:
    """The tag of `leaf` stands: count it, close what it closes, leave out what it rules out."""
    answer, at, line = t.answers[row], t.at[0], t.leaves[t.answers[row].leaf_base + leaf]
    t.ints[row, at.used + answer.count] = leaf
    answer.count += 1
    answer.node = ROOT
    answer.stale = 1
    _close(answer, at, t.longs[row], line[CLASS])
    out = t.ints[row, at.out : at.out + at.out_width]
    _insert(out, leaf)
    first = answer.out_base + line[OUT_FIRST]
    for other in t.ruled_out[first : first + line[OUT_COUNT]]:
        _insert(out, other)
    opened, count = t.ints[row, at.out_open : at.out_open + at.out_open_width], 0
    for one in out:
        if one == NO_LEAF:
            break
        kind = t.leaves[answer.leaf_base + one, CLASS]
        if kind < 0 or not answer.closed >> kind & 1:
            opened[count] = one
            count += 1
    for place_of_none in range(count, len(opened)):
        opened[place_of_none] = NO_LEAF


@native
def _close(answer: Record, at: Record, line: Int64, kind: int) -> None:
    """Count a tag for its class, and see anew which classes are closed."""
    if kind >= 0:
        line[at.standing + line[at.class_limit + kind]] += 1
    closed = 0
    for other in range(at.class_limit_width):
        is_waiting = line[at.class_waits + other] > 0 and answer.count < answer.waiting
        if is_waiting or line[at.standing + line[at.class_limit + other]] >= line[at.class_most + other]:
            closed |= 1 << other
    answer.closed = closed


@native
def _insert(line: Int32, leaf: int) -> None:
    """Into an ascending line whose rest is NO_LEAF, unless it is there."""
    at = position_of(line, 0, len(line), leaf)
    if at < len(line) and line[at] != leaf:
        last = min(position_of(line, at, len(line), NO_LEAF), len(line) - 1)
        for place_of_other in range(last, at, -1):
            line[place_of_other] = line[place_of_other - 1]
        line[at] = leaf


@native
def position_of(line: Int32, low: int, high: int, value: int) -> int:
    """The first place from `low` on of an ascending line where `value` stands or something above it, `high` for none."""
    while low < high:
        middle = (low + high) >> 1
        if line[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@native
def _child(children: Int32, column: int, value: int) -> int:
    """The first child with `value` or something above it in an ascending column, as many as there are for none."""
    low, high = 0, len(children)
    while low < high:
        middle = (low + high) >> 1
        if children[middle, column] < value:
            low = middle + 1
        else:
            high = middle
    return low
