import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.influence import TagInfluence, prior_influence
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from tests.cases import constraints
from tests.fakes import codec_of, constraint_of, random_answer, vocabulary_of

CODEC = codec_of(vocabulary_of("linen", "linen shirt", "silk", "sill"), ["linen", " shirt"])
LINEN, SHIRT, SILK, SILL = range(4)
LINEN_ID, SHIRT_ID = CODEC.tokenizer.encode("linen")[0], CODEC.tokenizer.encode(" shirt")[0]
S, SI, SIL, SILK_ID = CODEC.tokenizer.encode("silk")
SEPARATOR, EOS = CODEC.separator_id, CODEC.eos_id
CONSTRAINT = constraint_of(CODEC, AnswerRules(min_tags=0, max_tags=4, explain=False), prior=TagPrior({LINEN: 5.0}))
IDS = [LINEN_ID, SEPARATOR, S, SI, SIL, SILK_ID, SEPARATOR, SEPARATOR, EOS]


def influence(**changes: int) -> list[TagInfluence]:
    """With other tokens at some places than those that were chosen ("at0")."""
    unbiased = list(IDS)
    for place, token in changes.items():
        unbiased[int(place.removeprefix("at"))] = token
    return prior_influence(CONSTRAINT, IDS, unbiased)


def test_without_a_change_nothing_is_due_to_the_prior() -> None:
    assert influence() == [TagInfluence(LINEN), TagInfluence(SILK)]
    assert not any(found.is_due_to_prior for found in influence())


def test_a_change_names_the_tags_that_could_have_won() -> None:
    first, second = influence(at0=S)
    assert first.is_due_to_prior
    assert set(first.instead) == {SILK, SILL}
    assert second == TagInfluence(SILK)
    assert influence(at1=SHIRT_ID)[0] == TagInfluence(LINEN, (SHIRT,))
    assert influence(at5=SIL)[1] == TagInfluence(SILK, (SILL,))


def test_tags_that_stand_already_could_not_have_won() -> None:
    assert influence(at2=LINEN_ID)[1] == TagInfluence(SILK, (SHIRT,))


def test_the_end_of_the_tags_could_have_won() -> None:
    (_, second) = influence(at2=SEPARATOR)
    assert second == TagInfluence(SILK, would_end=True)
    assert second.is_due_to_prior


def test_the_first_change_on_the_way_counts() -> None:
    assert set(influence(at0=S, at1=SHIRT_ID)[0].instead) == {SILK, SILL}


@settings(max_examples=100, deadline=None)
@given(constraints(), st.integers())
def test_what_could_have_won_is_no_tag_of_the_answer_so_far(constraint, seed) -> None:
    chance = random.Random(seed)
    ids = random_answer(constraint, chance)
    state, unbiased = constraint.start(), []
    for token in ids:
        unbiased.append(int(chance.choice(constraint.allowed(state).tokens)))
        state = constraint.advance(state, token)
    found = prior_influence(constraint, ids, unbiased)
    assert tuple(each.tag for each in found) == constraint.tags(state)
    for position, each in enumerate(found):
        assert not {other.tag for other in found[: position + 1]} & set(each.instead)
        assert not (each.instead and each.would_end)
    assert not any(each.is_due_to_prior for each in prior_influence(constraint, ids, ids))
