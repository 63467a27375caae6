from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.trie import ROOT
from tests.cases import codecs, rules


@settings(deadline=None)
@given(st.data())
def test_ways_are_the_paths_of_their_leaves(data):
    codec = data.draw(codecs())
    branches = codec.compiled.branches(data.draw(rules(codec)))
    trie = branches.ruled.trie
    leaves = sorted(data.draw(st.sets(st.integers(0, len(trie) - 1))))
    walked = sorted(
        (node, above, position)
        for position, leaf in enumerate(leaves)
        for above, node in zip((ROOT, *trie.path(leaf)), trie.path(leaf), strict=False)
    )
    found = [part.tolist() for part in branches.ways(leaves)]
    assert list(zip(*found, strict=True)) == walked


@settings(deadline=None)
@given(st.data())
def test_a_node_is_as_deep_as_the_way_to_it_is_long(data):
    trie = data.draw(codecs()).trie
    depths = trie.depths()
    assert depths[ROOT] == 0
    for leaf in range(len(trie)):
        assert [depths[node] for node in trie.path(leaf)] == list(range(1, len(trie.path(leaf)) + 1))
