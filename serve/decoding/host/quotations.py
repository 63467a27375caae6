"""A row inside quotation marks: `serve.decoding.quotations` in machine code. It knows the listing's steps from byte to byte, no
trie.

The positions of a row are from its `reach_from` on and before its `reach_to`.
"""

from __future__ import annotations

from hangtag.explanation import CLOSING, TEXT, UNREACHABLE
from serve.decoding.forest import NOTHING
from serve.decoding.host.masks import allow, place
from serve.decoding.host.native import native
from serve.decoding.host.tables import Bools, Floats, Int32, Record, Tables
from serve.decoding.phases import EXPLANATION, QUOTATION
from serve.decoding.quotations import END, LEFT, NOWHERE, SLOT, STEP_COLUMNS, TOKEN, WORD_END

WHOLE = len(CLOSING)


@native
def may_open(t: Tables, row: int) -> bool:
    """Whether the shortest quotation fits in the tokens that are left."""
    answer = t.answers[row]
    return bool(answer.shortest + t.closing_left[0] + 1 < answer.left)


@native
def open_quotation(t: Tables, row: int) -> None:
    """A quotation begins."""
    answer, at, flags = t.answers[row], t.at[0], t.flags[row]
    for position in range(at.positions_width):
        flags[at.positions + position] = flags[at.starts + position]
        flags[at.ends + position] = False
    answer.reach_from, answer.reach_to = 0, at.positions_width
    answer.length = answer.closing = 0
    answer.phase = QUOTATION


@native
def fill_quotation(t: Tables, row: int) -> None:
    """The mask of a row: tokens that go on with a span, or close it."""
    answer, at, words, changes = t.answers[row], t.at[0], t.words[row], t.changes[row]
    ints, longs, flags = t.ints[row], t.longs[row], t.flags[row]
    place(t, row, NOTHING)
    room, may_close = answer.left - t.closing_left[0] - 1, answer.closing > 0
    for position in range(answer.reach_from, answer.reach_to):
        if flags[at.positions + position]:
            may_close |= answer.length > 0 and flags[at.word_ends + position]
            for step in range(longs[at.first_step + position], longs[at.first_step + position + 1]):
                place_of_step = at.steps + step * STEP_COLUMNS
                if ints[place_of_step + LEFT] < room and _is_free(ints, at, position, place_of_step):
                    allow(words, changes, ints[place_of_step + TOKEN])
    if may_close:
        for token in t.closers:
            if _closes(t, row, token):
                allow(words, changes, token)


@native
def lean(t: Tables, row: int, logits: Floats) -> None:
    """Add to the logits of tokens that lead through the evidence for the answer's tags, or close a quotation of it."""
    at, longs = t.at[0], t.longs[row]
    weight = t.floats[row, at.lean]
    if weight == 0:
        return
    leaning, complete = t.flags[row, at.leaning : at.leaning + at.slots_width], False
    for piece in range(at.evidence_leaf_width):
        first, last = longs[at.evidence_start + piece], longs[at.evidence_end + piece]
        if _is_wanted(t, row, longs[at.evidence_leaf + piece], first, last):
            complete |= t.flags[row, at.positions + last]
            _lead_through(t, row, first, last, leaning)
    if complete and t.answers[row].length:  # a span may end there
        for number, token in enumerate(t.closers):
            leaning[number] |= _closes(t, row, token)
    for slot in range(len(leaning)):
        if leaning[slot]:
            logits[t.ints[row, at.slots + slot]] += weight
            leaning[slot] = False


@native
def advance_quotation(t: Tables, row: int, token: int) -> None:
    """Go on with a span, or with its closing mark."""
    answer, at, flags = t.answers[row], t.at[0], t.flags[row]
    written = t.closing_after[answer.closing, token]
    if answer.closing == 0 and written > 0:
        written = written if _note_ends(answer, at, flags) else 0
    elif answer.closing > 0 and written == 0:
        for end in range(at.ends_width):
            flags[at.ends + end] = False
    _move(t, row, token)
    answer.length += t.lengths[token]
    answer.closing = written
    answer.left -= 1
    if written == WHOLE:
        _spend(t, row)
        answer.phase, answer.text = EXPLANATION, TEXT


@native
def _move(t: Tables, row: int, token: int) -> None:
    """All positions go where `token` leads: downwards one by one, since steps lead up."""
    answer, at = t.answers[row], t.at[0]
    ints, longs, flags = t.ints[row], t.longs[row], t.flags[row]
    lowest, highest = at.positions_width, -1
    for position in range(answer.reach_to - 1, answer.reach_from - 1, -1):
        if flags[at.positions + position]:
            flags[at.positions + position] = False
            for step in range(longs[at.first_step + position], longs[at.first_step + position + 1]):
                place_of_step = at.steps + step * STEP_COLUMNS
                if ints[place_of_step + TOKEN] == token and _is_free(ints, at, position, place_of_step):
                    end = ints[place_of_step + END]
                    flags[at.positions + end] = True
                    lowest, highest = min(lowest, end), max(highest, end)
    answer.reach_from, answer.reach_to = lowest, highest + 1


@native
def _note_ends(answer: Record, at: Record, flags: Bools) -> bool:
    """Remember where the span may end; whether there is such a place."""
    found = False
    for position in range(answer.reach_from, answer.reach_to):
        ends = flags[at.positions + position] and flags[at.word_ends + position] and answer.length > 0
        flags[at.ends + position] = ends
        found |= ends
    return found


@native
def _spend(t: Tables, row: int) -> None:
    """What a closed quotation covers is no longer to be quoted."""
    answer, at = t.answers[row], t.at[0]
    ints, longs, flags = t.ints[row], t.longs[row], t.flags[row]
    span = answer.length - WHOLE
    for end in range(at.ends_width):
        if flags[at.ends + end]:
            for position in range(max(end - span, 0), end):
                flags[at.spent + position] = True
    for position in range(at.spent_width):
        ints[at.spent_before + position + 1] = ints[at.spent_before + position] + flags[at.spent + position]
    answer.shortest = UNREACHABLE
    for position in range(at.starts_width):
        if flags[at.starts + position]:
            for step in range(longs[at.first_step + position], longs[at.first_step + position + 1]):
                place_of_step = at.steps + step * STEP_COLUMNS
                if _is_free(ints, at, position, place_of_step):
                    answer.shortest = min(answer.shortest, 1 + ints[place_of_step + LEFT])


@native
def _lead_through(t: Tables, row: int, first: int, last: int, leaning: Bools) -> None:
    """Mark the slots of steps that begin a place of evidence, or go on within it."""
    answer, at, ints = t.answers[row], t.at[0], t.ints[row]
    room = answer.left - t.closing_left[0] - 1
    low, high = (first + 1, last) if answer.length else (first, first + 1)
    for position in range(low, high):
        if t.flags[row, at.positions + position]:
            for step in range(t.longs[row, at.first_step + position], t.longs[row, at.first_step + position + 1]):
                place_of_step = at.steps + step * STEP_COLUMNS
                if ints[place_of_step + END] <= last and ints[place_of_step + LEFT] < room:
                    leaning[ints[place_of_step + SLOT]] |= _is_free(ints, at, position, place_of_step)


@native
def _is_free(ints: Int32, at: Record, position: int, place_of_step: int) -> bool:
    """Whether nothing is spent from a position to the end of the word that a step from it is in."""
    return bool(ints[at.spent_before + ints[place_of_step + WORD_END]] == ints[at.spent_before + position])


@native
def _closes(t: Tables, row: int, token: int) -> bool:
    """Whether a token may go on with the closing mark of a span that may end."""
    then = t.closing_after[t.answers[row].closing, token]
    return bool(then > 0 and t.closing_left[then] + 1 < t.answers[row].left)


@native
def _is_wanted(t: Tables, row: int, leaf: int, first: int, last: int) -> bool:
    """Whether a place of evidence is for a tag of the answer and not quoted yet."""
    at, ints = t.at[0], t.ints[row]
    if leaf == NOWHERE or ints[at.spent_before + first] != ints[at.spent_before + last]:
        return False
    stands = False
    for number in range(t.answers[row].count):
        stands |= ints[at.used + number] == leaf
    return stands
