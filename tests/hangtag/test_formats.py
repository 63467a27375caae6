import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.errors import InvalidVocabulary
from hangtag.formats import parse_vocabulary, read_vocabulary, write_jsonl
from hangtag.vocabulary import Tag, TagVocabulary

WORDS = st.text(alphabet="abcXYZ 降噪é&'", min_size=1, max_size=12).filter(str.strip)


def parse(text, ending):
    return parse_vocabulary(text, ending, name="shop", source=f"shop{ending}")


def test_a_plain_list():
    vocabulary = parse("# ours\nLinen\n\nCotton \n", ".txt")
    assert [t.id for t in vocabulary] == ["Linen", "Cotton"]
    assert vocabulary.written("zh") == ("Linen", "Cotton")


def test_csv_with_languages_and_aliases():
    vocabulary = parse('id,facet,en,zh,aliases_en\nh,category,Headphones,耳机,"earphones|head,set"\n', ".csv")
    assert vocabulary.written("zh") == ("耳机",)
    assert vocabulary.tags[0].aliases == {"en": ("earphones", "head,set")}


def test_jsonl():
    vocabulary = parse(
        '{"label": "Linen", "aliases": ["flax"]}\n{"id": "c", "labels": {"en": "Cotton"}, "parent": "Linen"}\n', ".jsonl"
    )
    assert [t.parent for t in vocabulary] == [None, "Linen"]


@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".txt", "# nothing\n", r"shop.txt: the file has no tags"),
        (".txt", "Linen\nCotton\nLinen\n", "line 1 and line 3 have the same"),
        (".csv", "label,colour\nLinen,red\n", "line 1: unknown column 'colour'"),
        (".csv", "id,facet\na,b\n", "line 1: no column has labels"),
        (".csv", "label,facet\nLinen\n", "line 2: 1 columns, the header has 2"),
        (".csv", 'label\nCotton\n"Linen\nSilk\nWool\n', "line 3: not valid CSV"),
        (".csv", 'label,definition\nLinen,"of\nflax"\nSilk\n', "line 4: 1 columns"),
        (".csv", '\nlabel,definition\nLinen,"of\nflax"\nLinen,\n', "line 3 and line 5 have the same"),
        (".csv", "\nlabel,colour\n", "line 2: unknown column"),
        (".csv", "label,facet\nLinen,a\n,b\n", "line 3: the tag has no label"),
        (".jsonl", '{"label": "Linen"}\n{"label": \n', "line 2: not valid JSON"),
        (".jsonl", '{"label": "Linen"}\n' + "[" * 100_000, "line 2: not valid JSON"),
        (".jsonl", '{"label": ' + "9" * 5000 + "}", "line 1: not valid JSON"),
        (".jsonl", '["Linen"]\n', "line 1: not a JSON object"),
        (".jsonl", '{"label": "Linen", "color": 1}\n', "line 1: unknown field 'color'"),
        (".jsonl", '{"label": 7}\n', "line 1: `label` is not a string"),
        (".jsonl", '{"labels": {"English": "Linen"}}\n', "'English' is not a language"),
        (".jsonl", '{"label": "Linen", "aliases": "flax"}\n', "`aliases` is neither"),
    ],
)
def test_a_broken_line_is_named(ending, text, message):
    with pytest.raises(InvalidVocabulary, match=message):
        parse(text, ending)


def test_a_file_that_is_not_utf8_or_of_an_unknown_kind(tmp_path):
    path = tmp_path / "shop.txt"
    path.write_bytes(b"Linen\n\xff\xfe\n")
    with pytest.raises(InvalidVocabulary, match="line 2: not UTF-8"):
        read_vocabulary(path)
    with pytest.raises(InvalidVocabulary, match=r"ending '\.xls'"):
        read_vocabulary(tmp_path / "shop.xls")
    with pytest.raises(InvalidVocabulary, match="can't be read"):
        read_vocabulary(tmp_path / "none.csv")


@given(
    st.dictionaries(
        WORDS.map(lambda w: " ".join(w.split())), st.tuples(WORDS, st.lists(WORDS, max_size=3), WORDS), min_size=1, max_size=8
    )
)
def test_jsonl_round_trip(tmp_path_factory, rows):
    tags = [
        Tag(id=id, labels={"en": f"{label} {n}", "zh": f"{n}"}, facet=facet, aliases={"en": tuple(aliases)})
        for n, (id, (label, aliases, facet)) in enumerate(rows.items())
    ]
    vocabulary = TagVocabulary("shop", tags)
    path = tmp_path_factory.mktemp("vocabulary") / "shop.jsonl"
    write_jsonl(vocabulary, path)
    assert read_vocabulary(path).hash == vocabulary.hash
