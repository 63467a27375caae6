import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.errors import InvalidVocabulary
from hangtag.trie import ROOT, TokenTrie

SEQUENCES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5).map(tuple), min_size=1, max_size=30, unique=True)


def below(trie, node):
    """All sequences below a node, by walking the edges."""
    found = [()] if trie.ends[node] else []
    for token, child in zip(*trie.children(node), strict=True):
        found += [(int(token), *rest) for rest in below(trie, int(child))]
    return found


@given(SEQUENCES)
def test_the_trie_holds_exactly_the_sequences(sequences):
    trie = TokenTrie.build(sequences)
    assert below(trie, ROOT) == sorted(sequences)
    assert [sequences[tag] for tag in trie.leaf_tag] == sorted(sequences)
    assert [trie.leaf_tag[leaf] for leaf in trie.tag_leaf] == list(range(len(sequences)))


@given(SEQUENCES)
def test_a_subtree_is_an_interval_of_leaves(sequences):
    trie = TokenTrie.build(sequences)
    for tag, sequence in enumerate(sequences):
        node = ROOT
        for token in sequence:
            assert trie.leaf_start[node] <= trie.tag_leaf[tag] < trie.leaf_end[node]
            node = trie.child(node, token)
        assert trie.ends[node]
        assert trie.leaf_start[node] == trie.tag_leaf[tag]
    for node in range(len(trie.ends)):
        assert trie.leaf_end[node] - trie.leaf_start[node] == len(below(trie, node))


def test_equal_sequences_and_empty_ones_are_refused():
    with pytest.raises(InvalidVocabulary, match="the same token ids"):
        TokenTrie.build([(1, 2), (3,), (1, 2)])
    with pytest.raises(InvalidVocabulary, match="at least one token"):
        TokenTrie.build([(1,), ()])


def test_an_unknown_token_leads_nowhere():
    assert TokenTrie.build([(1, 2)]).child(ROOT, 7) is None
