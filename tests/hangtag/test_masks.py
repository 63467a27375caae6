import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hangtag.masks import Scratch, SparseMask, packed

SIZE = 100
TOKENS = st.lists(st.integers(0, SIZE - 1), max_size=20)


def tokens_of(words):
    return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "write_one", "write_many", "write_without", "hold", "copy_without"]), TOKENS, TOKENS),
        max_size=8,
    )
)
def test_a_scratch_shows_what_was_written_last(writings):
    scratch, stored = Scratch(SIZE), packed(np.arange(0, SIZE, 3), SIZE)
    for how, tokens, others in writings:
        if how == "hold":
            assert tokens_of(scratch.hold(stored)) == tokens_of(stored)
        elif how == "copy_without":
            mask = packed(np.array(tokens, np.int32), SIZE)
            assert tokens_of(scratch.copy_without(mask, others)) == set(tokens) - set(others)
        elif how == "write_without":
            mask = SparseMask.of(np.array([0, *tokens], np.int32))
            assert tokens_of(scratch.write_without(mask, others)) == {0, *tokens} - set(others)
        elif how == "write_one":
            assert tokens_of(scratch.write_one(len(tokens))) == {len(tokens)}
        else:
            assert tokens_of(getattr(scratch, how)(np.array(tokens, np.int32) if how == "write_many" else tokens)) == set(tokens)
