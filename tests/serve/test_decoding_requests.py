"""What travels to a vLLM server: written, read back, and refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.errors import InvalidInput, InvalidRules, InvalidSettings, InvalidVocabulary
from hangtag.evidence import Evidence
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from serve.decoding.requests import MOST_WEIGHT, DecodingRequest, is_ours, read, write
from serve.decoding.vllm_vocabularies import ServedVocabularies, served_vocabularies
from tests.fakes import WordTokenizer, codec_of, vocabulary_of

HASH = "0123456789abcdef" * 4
TAGS = st.integers(0, 200)
WEIGHTS = st.floats(-MOST_WEIGHT, MOST_WEIGHT, allow_nan=False)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> DecodingRequest:
    least = draw(st.integers(0, 5))
    rules = AnswerRules(
        min_tags=least,
        max_tags=draw(st.integers(max(least, 1), 50)),
        explain=draw(st.booleans()),
        max_explanation_tokens=draw(st.integers(2, 256)),
        banned=draw(st.frozensets(TAGS, max_size=4)),
        only=draw(st.none() | st.frozensets(TAGS, max_size=4)),
        facet_limits=draw(st.dictionaries(TEXTS, st.integers(0, 9), max_size=3)),
        exclusions=tuple(draw(st.lists(st.frozensets(TAGS, max_size=4), max_size=3))),
        parent_or_child=draw(st.booleans()),
    )
    return DecodingRequest(
        vocabulary=draw(st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)),
        rules=rules,
        listing=tuple(draw(st.lists(TEXTS, max_size=4))),
        prior=TagPrior(draw(st.dictionaries(TAGS, WEIGHTS, max_size=5))),
        evidence=Evidence(draw(st.dictionaries(TAGS, TEXTS, max_size=5)), draw(WEIGHTS)),
    )


@given(requests())
def test_what_is_written_reads_back(request: DecodingRequest) -> None:
    values = write(request)
    assert read(values) == request
    assert read(json.loads(json.dumps(values))) == request
    assert is_ours(values)
    for value in values.values():  # what vLLM's JSON takes
        entries = value if isinstance(value, list) else [value]
        assert all(type(entry) in (str, int, float) for entry in entries)


@pytest.mark.parametrize("values", [None, {}, {"top_secret": 1}, {"kv_transfer_params": {"hangtag_rules": 1}}])
def test_other_peoples_requests_are_none_of_ours(values: dict[str, Any] | None) -> None:
    assert read(values) is None
    assert not is_ours(values)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "unknown name": ({"hangtag_priors": [1]}, "hangtag_priors"),
    "no vocabulary": ({"hangtag_vocabulary": None}, "hangtag_vocabulary"),
    "vocabulary a number": ({"hangtag_vocabulary": 7}, "hangtag_vocabulary"),
    "rules an object": ({"hangtag_rules": {"max_tags": 3}}, "hangtag_rules"),
    "rules no JSON": ({"hangtag_rules": "max_tags=3"}, "hangtag_rules"),
    "rules a list": ({"hangtag_rules": "[]"}, "hangtag_rules"),
    "rules nested without end": ({"hangtag_rules": "[" * 100_000}, "hangtag_rules"),
    "a number of many digits": ({"hangtag_rules": '{"max_tags": ' + "9" * 5000 + "}"}, "hangtag_rules"),
    "unknown rule": ({"hangtag_rules": '{"most_tags": 3}'}, "hangtag_rules"),
    "a rule twice": ({"hangtag_rules": '{"max_tags": 3, "max_tags": 4}'}, "hangtag_rules"),
    "rule of the wrong type": ({"hangtag_rules": '{"max_tags": "3"}'}, "hangtag_rules.max_tags"),
    "rule that is a truth value": ({"hangtag_rules": '{"max_tags": true}'}, "hangtag_rules.max_tags"),
    "rule that is no number": ({"hangtag_rules": '{"max_tags": NaN}'}, "hangtag_rules"),
    "flag that is a number": ({"hangtag_rules": '{"explain": 1}'}, "hangtag_rules.explain"),
    "banned below 0": ({"hangtag_rules": '{"banned": [-1]}'}, "hangtag_rules.banned[0]"),
    "limits a list": ({"hangtag_rules": '{"facet_limits": []}'}, "hangtag_rules.facet_limits"),
    "rules that conflict": ({"hangtag_rules": '{"min_tags": 4, "max_tags": 3}'}, "max_tags"),
    "listing a text": ({"hangtag_listing": "Linen shirt"}, "hangtag_listing"),
    "listing of numbers": ({"hangtag_listing": ["a", 1]}, "hangtag_listing[1]"),
    "listing too long": ({"hangtag_listing": ["a" * 50_000]}, "hangtag_listing"),
    "half a character": ({"hangtag_listing": ["\ud800"]}, "hangtag_listing[0]"),
    "tags without weights": ({"hangtag_prior_tags": [1]}, "hangtag_prior_tags"),
    "weights without tags": ({"hangtag_prior_weights": [1.0]}, "hangtag_prior_tags"),
    "a tag twice": ({"hangtag_prior_tags": [1, 1], "hangtag_prior_weights": [1.0, 2.0]}, "hangtag_prior_tags"),
    "a tag with a fraction": ({"hangtag_prior_tags": [1.5], "hangtag_prior_weights": [1.0]}, "hangtag_prior_tags[0]"),
    "a tag below 0": ({"hangtag_prior_tags": [-1], "hangtag_prior_weights": [1.0]}, "hangtag_prior_tags[0]"),
    "weight not a number": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [math.nan]}, "hangtag_prior_weights[0]"),
    "weight without end": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [math.inf]}, "hangtag_prior_weights[0]"),
    "weight too large for float32": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [1e39]}, "hangtag_prior_weights[0]"),
    "weight too large for float64": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [10**400]}, "hangtag_prior_weights[0]"),
    "weight a text": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": ["1"]}, "hangtag_prior_weights[0]"),
    "evidence weight not a number": ({"hangtag_evidence_weight": math.nan}, "hangtag_evidence_weight"),
    "spans without tags": ({"hangtag_evidence_spans": ["a"]}, "hangtag_evidence_tags"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_values_are_refused_by_name(case: str) -> None:
    values, field = BROKEN[case]
    given_values = {"hangtag_vocabulary": HASH, **values}
    if given_values["hangtag_vocabulary"] is None:
        del given_values["hangtag_vocabulary"]
        given_values["hangtag_listing"] = ["a"]
    with pytest.raises(InvalidInput) as raised:
        read(given_values)
    assert raised.value.field == field
    assert len(str(raised.value)) < 300


def test_what_would_be_refused_is_not_written() -> None:
    with pytest.raises(InvalidInput, match="hangtag_evidence_weight"):
        write(DecodingRequest(HASH, evidence=Evidence({0: "a"}, 1e30)))


@pytest.fixture
def served(tmp_path: Path) -> tuple[ServedVocabularies, str]:
    codec = codec_of(vocabulary_of("Linen", "Linen shirt", "Shoes"))
    codec.compiled.save(tmp_path)
    return ServedVocabularies(tmp_path, codec.tokenizer), codec.compiled.hash


def test_vocabularies_are_found_by_hash(served: tuple[ServedVocabularies, str]) -> None:
    vocabularies, hash_ = served
    constraint = vocabularies.constraint(DecodingRequest(hash_, AnswerRules(max_tags=2)))
    assert len(constraint.allowed(constraint.start()).tokens)
    assert vocabularies.find(hash_) is vocabularies.find(hash_)
    assert vocabularies.read(None) is None


@pytest.mark.parametrize("hash_", [HASH, "", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", f"{'a' * 62}/.", "\0" * 64])
def test_unknown_and_impossible_hashes_are_refused(served: tuple[ServedVocabularies, str], hash_: str) -> None:
    with pytest.raises(InvalidVocabulary):
        served[0].find(hash_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (DecodingRequest(HASH, AnswerRules(max_tags=4)), "only 3 tags"),
        (DecodingRequest(HASH, AnswerRules(max_tags=2, min_tags=2, banned=frozenset({0, 1}))), "leave room for only 1"),
        (DecodingRequest(HASH, AnswerRules(max_tags=2, banned=frozenset({3}))), "names tag 3"),
        (DecodingRequest(HASH, AnswerRules(max_tags=2), prior=TagPrior({3: 1.0})), "names tag 3"),
        (DecodingRequest(HASH, AnswerRules(max_tags=2), evidence=Evidence({3: "a"}, 1.0)), "names tag 3"),
    ],
)
def test_what_the_vocabulary_can_not_keep_is_refused(
    served: tuple[ServedVocabularies, str], request_: DecodingRequest, message: str
) -> None:
    vocabularies, hash_ = served
    with pytest.raises(InvalidRules, match=message):
        request_.constraint(vocabularies.find(hash_), vocabularies.grammar)


def test_another_tokenizers_vocabulary_is_refused(served: tuple[ServedVocabularies, str], tmp_path: Path) -> None:
    other = ServedVocabularies(tmp_path, WordTokenizer(["linen"]))
    with pytest.raises(InvalidVocabulary, match="another tokenizer"):
        other.constraint(DecodingRequest(served[1]))


def test_another_end_of_sequence_is_refused(served: tuple[ServedVocabularies, str]) -> None:
    served[0].eos_id = 7
    with pytest.raises(InvalidVocabulary, match="end of sequence is 7"):
        served[0].constraint(DecodingRequest(served[1], AnswerRules(max_tags=2)))


def test_the_directory_is_a_setting(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = str(tiny_bundle / "base")
    monkeypatch.delenv("HANGTAG_VOCABULARY_DIR", raising=False)
    assert served_vocabularies(tokenizer) is None
    monkeypatch.setenv("HANGTAG_VOCABULARY_DIR", str(tmp_path / "none"))
    with pytest.raises(InvalidSettings, match="no directory"):
        served_vocabularies(tokenizer)
    monkeypatch.setenv("HANGTAG_VOCABULARY_DIR", str(tmp_path))
    served = served_vocabularies(tokenizer)
    assert served is not None
    assert served is served_vocabularies(tokenizer)
