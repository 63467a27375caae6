import json

import numpy as np
import pytest

from hangtag.compiled import CompiledVocabulary
from hangtag.errors import InvalidVocabulary
from hangtag.rules import AnswerRules
from tests.fakes import codec_of, vocabulary_of

COMPILED = codec_of(vocabulary_of("linen", "linen shirt", "亚麻"), ["linen", " shirt"]).compiled


def test_what_is_saved_is_read_again(tmp_path):
    path = COMPILED.save(tmp_path / "new")
    assert path.name == f"{COMPILED.hash}.npz"
    read = CompiledVocabulary.find(tmp_path / "new", COMPILED.hash)
    assert read.hash == COMPILED.hash
    assert [read.trie.ids(tag) for tag in range(3)] == [COMPILED.trie.ids(tag) for tag in range(3)]
    assert (read.separator_id, read.eos_id, read.facets) == (COMPILED.separator_id, COMPILED.eos_id, COMPILED.facets)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_a_hash_is_no_path(tmp_path, name):
    with pytest.raises(InvalidVocabulary, match="64 hexadecimal digits"):
        CompiledVocabulary.find(tmp_path, name)


def altered(path, **arrays):
    """Replace arrays of a saved file."""
    with np.load(path) as stored:
        content = {name: stored[name] for name in stored.files}
    np.savez(path, **{**content, **arrays})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"edge_token": np.array([999_999] * 100, np.int32)}, "altered"),
        ({"leaf_tag": np.zeros(3, np.int32)}, "altered"),
        ({"tag_parent": np.array([7, -1, -1], np.int32)}, "altered"),
        ({"ends": np.zeros(2, np.bool_)}, "altered"),
        ({"leaf_tag": np.array([None] * 3)}, "no compiled vocabulary"),
        ({"header": np.frombuffer(b"{", np.uint8)}, "no compiled vocabulary"),
        ({"header": np.frombuffer(json.dumps({"format": 99}).encode(), np.uint8)}, "another version"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, arrays, message):
    path = COMPILED.save(tmp_path)
    altered(path, **arrays)
    with pytest.raises(InvalidVocabulary, match=message):
        CompiledVocabulary.load(path)


def test_a_file_that_is_missing_cut_or_renamed_is_refused(tmp_path):
    path = COMPILED.save(tmp_path)
    with pytest.raises(InvalidVocabulary, match="no such compiled vocabulary"):
        CompiledVocabulary.find(tmp_path, "0" * 64)
    path.rename(other := tmp_path / f"{'1' * 64}.npz")
    with pytest.raises(InvalidVocabulary, match="not what its name says"):
        CompiledVocabulary.load(other)
    other.write_bytes(other.read_bytes()[:-300])
    with pytest.raises(InvalidVocabulary, match="no compiled vocabulary"):
        CompiledVocabulary.load(other)


def test_tags_under_rules_are_remembered():
    banned = AnswerRules(max_tags=2, banned=frozenset({0}))
    assert COMPILED.branches(banned) is COMPILED.branches(AnswerRules(max_tags=1, banned=frozenset({0})))
    assert COMPILED.branches(banned) is not COMPILED.branches(AnswerRules(max_tags=2))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    path = tmp_path / f"{COMPILED.hash}.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidVocabulary, match=r"no compiled vocabulary.*compile the vocabulary again"):
        CompiledVocabulary.load(path)
