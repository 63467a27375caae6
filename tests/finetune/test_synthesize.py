"""The synthetic training listings, with a small vocabulary written by hand.
Knows nothing of the starter vocabulary or of any model."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from finetune.patterns import FACETS, HOLE, Matcher, Split
from finetune.synthesize import Example, Synthesizer, held_out, read_domains
from finetune.writing import unmarked
from hangtag.errors import InvalidVocabulary
from hangtag.text import fold
from hangtag.vocabulary import Tag, TagVocabulary

ROWS = """
category/shoes|Shoes|鞋子|footwear,kicks|鞋履,鞋品||shoes
category/running-shoes|Running shoes|跑步鞋|running shoe,trainers,joggers' shoes|跑鞋,慢跑鞋,训练鞋|category/shoes|shoes
category/mugs|Mugs|马克杯|mug,coffee cup,tea cup|杯子,咖啡杯,水杯||kitchen
category/headphones|Headphones|耳机|headset,earphones,cans|耳麦,耳罩,头戴耳麦||electronics
category/scarves|Scarves|围巾|scarf,neck wrap,shawl|披肩,丝巾,围脖||fashion
colour/black|Black|黑色|jet black,ebony,in black|纯黑,曜石黑,墨黑||
colour/red|Red|红色|scarlet,crimson,bright red|大红,朱红,正红||
colour/navy|Navy|藏青色|navy blue,midnight blue,marine blue|深蓝,藏蓝,海军蓝||fashion shoes
material/cotton|Cotton|纯棉|pure cotton,combed cotton,100% cotton|全棉,精梳棉,棉质||fashion
material/leather|Leather|皮革|cowhide,real leather,nappa|牛皮,真皮,头层皮||shoes fashion
material/ceramic|Ceramic|陶瓷|stoneware,earthenware,china clay|瓷器,粗陶,骨瓷||kitchen
feature/breathable|Breathable|透气|airy,lets air through,ventilated|通风,不闷,网眼||shoes fashion
feature/waterproof|Waterproof|防水|water-proof,keeps water out,IPX7|防泼水,不透水,IPX7级||
feature/wireless|Wireless|无线|cordless,cable-free,Bluetooth|蓝牙,无绳,免接线||electronics
style/retro|Retro|复古|vintage,old-school,throwback look|怀旧,老式,港味||
audience/women|Women|女士|women's,ladies,for her|女款,女生,女式||
occasion/christmas|Christmas|圣诞节|Xmas,Noel,Christmas Eve|圣诞,平安夜,圣诞季||
season/winter|Winter|冬季|cold weather,wintertime,frosty days|冬天,冬日,寒冬||
topic/photography|Photography|摄影|photo tips,taking photos,shutter speed|拍照,修图,快门||content
topic/travel|Travel stories|旅行故事|travelogue,city trip,backpacking|游记,自由行,背包客||content
topic/cooking|Home cooking|家常菜|recipes,cooking at home,one-pot meals|食谱,下厨,做饭||content
"""


def _rows() -> list[list[str]]:
    return [line.split("|") for line in ROWS.strip().splitlines()]


def _vocabulary() -> TagVocabulary:
    return TagVocabulary(
        "small",
        [
            Tag(
                id=row[0],
                labels={"en": row[1], "zh": row[2]},
                facet=row[0].split("/")[0],
                aliases={"en": tuple(row[3].split(",")), "zh": tuple(row[4].split(","))},
                parent=row[5] or None,
            )
            for row in _rows()
        ],
    )


def _synthesizer(split: Split = "train", seed: int = 0) -> Synthesizer:
    return Synthesizer(_vocabulary(), {row[0]: tuple(row[6].split()) for row in _rows()}, split=split, seed=seed)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    synthesizer = _synthesizer()
    return [synthesizer.example(index) for index in range(1500)]


def test_same_number_same_example() -> None:
    first, again, other = _synthesizer(), _synthesizer(), _synthesizer(seed=1)
    assert [first.example(i) for i in range(60)] == [again.example(i) for i in reversed(range(60))][::-1]
    assert [first.example(i) for i in range(20)] != [other.example(i) for i in range(20)]
    assert first.example(3, "zh").listing.language == "zh"
    assert first.example(3, "en") == first.example(3, "en") != first.example(4, "en")


def test_both_languages_and_every_tag_turn_up(examples: list[Example]) -> None:
    vocabulary = _vocabulary()
    for language in ("en", "zh"):
        seen = {tag for example in examples if example.listing.language == language for tag in example.tags}
        assert seen == {tag.id for tag in vocabulary}


def test_spans_stand_in_the_listing(examples: list[Example]) -> None:
    for example in examples:
        lines = example.listing.quotable()
        assert example.tags == tuple(tag for tag, _ in example.evidence)
        assert 1 <= len(example.tags) <= 5
        assert len(set(example.tags)) == len(example.tags)
        for _, span in example.evidence:
            assert span == span.strip() != ""
            assert any(span in line for line in lines), (span, lines)


def test_explanation_quotes_the_evidence(examples: list[Example]) -> None:
    for example in examples:
        spans = [span for _, span in example.evidence]
        quoted = [piece.split("”")[0] for piece in example.explanation.split("“")[1:]]
        assert quoted == spans[:3]
    assert len({example.explanation[:3] for example in examples}) == 4


@pytest.mark.parametrize("split", ["train", "test"])
def test_wordings_are_held_out(split: Split) -> None:
    vocabulary, synthesizer = _vocabulary(), _synthesizer(split)
    exact = 0
    for index in range(1500):
        example = synthesizer.example(index)
        language = example.listing.language or ""
        for tag_id, span in example.evidence:
            tag = vocabulary.tags[vocabulary.index(tag_id)]
            kept = {fold(wording) for wording in held_out(tag, language)}
            assert kept
            assert fold(tag.label(language)) not in kept
            assert (fold(span) in kept) <= (split == "test")
            exact += fold(span) in kept
    assert (exact > 2000) == (split == "test")


def test_labels_are_never_held_out() -> None:
    few = Tag(id="a", labels={"en": "Alpha"}, aliases={"en": ("beta",)})
    assert held_out(few, "en") == frozenset()
    for tag in _vocabulary():
        assert 1 <= len(held_out(tag, "en")) <= 3
        assert tag.label("en") not in held_out(tag, "en")


def test_templates_are_held_out() -> None:
    def literals(split: Split, language: str) -> set[str]:
        book = _synthesizer(split)._writers[language].book
        return {(name, t.literal, t.parts) for name, group in book.sections.items() for t in group}  # type: ignore[misc]

    for language in ("en", "zh"):
        assert not literals("train", language) & literals("test", language)


def test_interests_only_reorder(examples: list[Example]) -> None:
    asked = [example for example in examples if example.interests]
    assert 0.27 < len(asked) / len(examples) < 0.4
    assert any(set(example.interests) & set(example.tags) for example in asked)
    assert any(not set(example.interests) & set(example.tags) for example in asked)
    for example in asked:
        assert 1 <= len(example.interests) <= 5
        wanted = [tag for tag in example.interests if tag in example.tags]
        assert list(example.tags[: len(wanted)]) == wanted
    for example in examples:
        rest = [tag.split("/")[0] for tag in example.tags if tag not in example.interests]
        assert rest == sorted(rest, key=FACETS.index)


def test_fillers_carry_no_tag() -> None:
    """What the templates and the noise say by themselves has no wording of the vocabulary."""
    for split in ("train", "test"):
        synthesizer = _synthesizer(split)
        for language, writer in synthesizer._writers.items():
            matcher = Matcher(synthesizer.vocabulary, language)
            for name, group in writer.book.sections.items():
                bad = [t.literal for t in group if any(matcher.find(piece) for piece in t.literal.split(HOLE))]
                assert not bad, (name, bad)
            for name in writer.book.noise:
                rng = random.Random(1)
                assert not [text for text in (writer.noise(name, rng) for _ in range(300)) if matcher.find(text)]


def test_a_filler_with_a_wording_is_dropped() -> None:
    tags = [*_vocabulary(), Tag(id="x/returns", labels={"en": "Free returns", "zh": "无理由"}, facet="feature")]
    synthesizer = Synthesizer(TagVocabulary("more", tags), {}, split="train")
    assert any("Free returns" in text for text in synthesizer.dropped["en"])
    assert any("无理由" in text for text in synthesizer.dropped["zh"])


def test_most_listings_say_no_other_tag(examples: list[Example]) -> None:
    vocabulary = _vocabulary()
    matchers = {language: Matcher(vocabulary, language) for language in ("en", "zh")}
    accidents = 0
    for example in examples:
        matcher = matchers[example.listing.language or ""]
        carried = {vocabulary.index(tag) for tag in example.tags}
        for _, _, key in matcher.find(example.listing.text()):
            whole = any(key in matcher.key(span) for _, span in example.evidence)
            accidents += len(example.tags) < 5 and not whole and not matcher.owners[key] & carried
    assert accidents < len(examples) * 0.03


def test_unmarked_gives_the_offsets() -> None:
    text, spans = unmarked(f"a \ue000{chr(0x100003)}red\ue001 \ue000{chr(0x100001)}mug\ue001!")
    assert text == "a red mug!"
    assert [(text[start:end], tag) for start, end, tag in spans] == [("red", 3), ("mug", 1)]


def test_no_tag_can_be_carried() -> None:
    synthesizer = Synthesizer(TagVocabulary("bare", [Tag(id="a", labels={"en": "Alpha"}, facet="category")]), {}, split="test")
    with pytest.raises(InvalidVocabulary, match="no tags"):
        synthesizer.example(0, "en")


def test_read_domains(tmp_path: Path) -> None:
    path = tmp_path / "domains.csv"
    path.write_text("id,domains\na,home kitchen\nb,\n", encoding="utf-8")
    assert read_domains(path) == {"a": ("home", "kitchen"), "b": ()}
    for text, message in (
        ("id\na\n", "line 1: the column 'domains'"),
        ("id,domains\na,moon\n", "line 2: unknown domain 'moon'"),
        ("id,domains\na,home\na,home\n", "line 3: the id 'a'"),
        ("id,domains\na\n", "line 2: the number of columns"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidVocabulary, match=message):
            read_domains(path)
    with pytest.raises(InvalidVocabulary, match="can't be read"):
        read_domains(tmp_path / "missing.csv")


def test_examples_are_frozen(examples: list[Example]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        examples[0].tags = ()  # type: ignore[misc]
