"""A catalogue through the real suggester with the tiny model: nothing lost, nothing twice, nothing half-written."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hangtag.errors import EngineError, InvalidData, InvalidRules, InvalidVocabulary, OutputError
from hangtag.tag_rules import TagRules
from serve.batch import Batch, Wishes, bad_file, check_files, journal_file
from serve.catalogue.answer import Answer, GivenTag
from serve.catalogue.journal import Journal
from serve.catalogue.plain import PlainLayout
from serve.catalogue.tables import open_table
from serve.engines.engine import Engine, Generation, GenerationRequest
from serve.suggester import Suggester
from tests.serve.catalogues import SHOPIFY, csv_rows, json_rows, layout_of, tag_catalogue
from tests.tiny import FailingEngine, suggester_with

ROWS = 'id,title,price\n1,"Linen shirt, summer",20\n2,高品质蓝牙耳机，降噪效果显著,-5\n3,Waterproof shoes,30\n'


class Failing:
    """Passes requests on to another engine until one too many comes."""

    def __init__(self, engine: Engine, answers: int) -> None:
        self._engine, self.left = engine, answers

    async def generate(self, request: GenerationRequest) -> Generation:
        if self.left == 0:
            raise EngineError("out of memory")
        self.left -= 1
        return await self._engine.generate(request)

    async def close(self) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_rows_stay_as_they_were_and_get_columns_more(suggester: Suggester, shop: Path) -> None:
    out = shop.with_name("out.csv")
    survey, asked, result = tag_catalogue(suggester, shop, out, wishes=Wishes(max_tags=2))
    assert (survey.items, survey.tagged, survey.bad, asked, result.tagged, result.bad) == (3, 0, 0, 3, 3, 0)
    assert not bad_file(out).exists()
    given, tagged = csv_rows(shop), csv_rows(out)
    assert [{name: row[name] for name in ("id", "title", "price")} for row in tagged] == given
    known = {tag.id: set(tag.labels.values()) for tag in suggester.vocabulary}
    for row in tagged:
        ids, labels = row["hangtag_ids"].split("|"), row["hangtag_tags"].split("|")
        assert 1 <= len(ids) <= 2
        assert all(label in known[id] for id, label in zip(ids, labels, strict=True))
        assert all(0 < float(each) <= 1 for each in row["hangtag_confidences"].split("|"))
        assert row["hangtag_model"] == "tiny@1"
    assert tagged[1]["hangtag_tags"].isascii() is False


def test_a_second_run_asks_nothing_and_other_wishes_ask_again(suggester: Suggester, shop: Path) -> None:
    out = shop.with_name("out.csv")
    tag_catalogue(suggester, shop, out)
    first = out.read_bytes()
    survey, asked, _ = tag_catalogue(suggester, shop, out)
    assert (survey.tagged, asked, out.read_bytes()) == (3, 0, first)
    shop.write_text(ROWS.replace("Waterproof", "Red") + "4,Cotton shirt,1\n", encoding="utf-8")
    survey, asked, _ = tag_catalogue(suggester, shop, out)
    assert (survey.tagged, asked) == (2, 2)
    assert [row["id"] for row in csv_rows(out)] == ["1", "2", "3", "4"]
    survey, asked, _ = tag_catalogue(suggester, shop, out, wishes=Wishes(explain=False, max_tags=1))
    assert (survey.tagged, asked) == (0, 4)
    assert len(json_rows(journal_file(out))) == 5, "answers that nobody needs any more are forgotten"


def test_rows_of_an_earlier_file_are_taken_as_they_are(suggester: Suggester, shop: Path) -> None:
    first, second = shop.with_name("first.csv"), shop.with_name("second.csv")
    tag_catalogue(suggester, shop, first)
    with first.open("a", encoding="utf-8") as file:
        file.write("4,Cotton shirt,1,,,,,,,,\n")
    survey, asked, _ = tag_catalogue(suggester, first, second)
    assert (survey.tagged, asked) == (3, 1)
    assert csv_rows(second)[:3] == csv_rows(first)[:3]
    assert csv_rows(second)[0].keys() == csv_rows(first)[0].keys()
    assert csv_rows(second)[3]["hangtag_tags"]


def test_jsonl_keeps_types_and_takes_an_object_of_attributes(suggester: Suggester, tmp_path: Path) -> None:
    path, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"id": 7, "title": "Shirt", "attributes": {"material": "linen"}, "n": 1.5},
        {"title": "\ud800 is odd"},
        {"title": "b"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    _, _, result = tag_catalogue(suggester, path, out)
    assert (result.tagged, result.bad) == (2, 1)
    tagged = json_rows(out)
    assert {name: tagged[0][name] for name in rows[0]} == rows[0]
    assert isinstance(tagged[0]["hangtag_tags"], list)
    assert json_rows(bad_file(out))[0]["row"] == rows[1]
    with Journal.opened(journal_file(out)) as journal:
        assert tagged[0]["hangtag_key"] in journal


def test_parquet_keeps_its_types_row_for_row(suggester: Suggester, tmp_path: Path) -> None:
    path, out, again = tmp_path / "a.parquet", tmp_path / "out.parquet", tmp_path / "again.parquet"
    moments = pa.array([1, 2, 3, 4], pa.timestamp("ns"))  # Python's own times do not go to the nanosecond
    names = pa.array(["x", "y", "x", "y"]).dictionary_encode()
    table = pa.table({"title": ["Linen", "", "Shoes", "Hat"], "at": moments, "name": names})
    pq.write_table(table, path, row_group_size=2)
    _, _, result = tag_catalogue(suggester, path, out)
    assert (result.tagged, result.bad, result.first_reason[:6]) == (3, 1, "line 2")
    tagged = pq.read_table(out)
    assert tagged.select(["title", "at", "name"]).cast(table.schema).equals(table.take([0, 2, 3]))
    assert tagged.schema.field("hangtag_ids").type == pa.list_(pa.string())
    assert tagged["hangtag_key"].null_count == 0
    _, asked, _ = tag_catalogue(suggester, out, again)
    assert asked == 0
    assert pq.read_table(again).equals(tagged)


def test_bad_rows_are_beside_the_file_with_line_and_reason(suggester: Suggester, shop: Path) -> None:
    bad = b'4,"open,1\n5,caf\xe9,1\n,,\n6,,2\n1,Twice,3\n7,a,b,c\n8,Bell\x07,1\n9,Hat,1\n10,' + b"x" * 20_001 + b",1\n"
    shop.write_bytes(ROWS.encode() + bad)
    out = shop.with_name("out.csv")
    survey, asked, result = tag_catalogue(suggester, shop, out)
    assert (survey.items, survey.bad, asked, result.tagged, result.bad) == (11, 7, 4, 4, 7)
    assert [row["id"] for row in csv_rows(out)] == ["1", "2", "3", "9"]
    found = [(row["line"], row["reason"]) for row in json_rows(bad_file(out))]
    assert found == [
        (5, "not valid CSV: unexpected end of data"),
        (6, "not UTF-8 (byte 0xe9); save the file as UTF-8"),
        (8, "the listing is empty; give a title, a description or attributes"),
        (9, "the id '1' stands in line 2 already; ids must differ"),
        (10, "4 columns, the header has 3; quote cells with ','"),
        (11, "title has the control character U+0007 at offset 4; remove it"),
        (13, "the listing has 20,003 characters, at most 20,000 are allowed; send less text"),
    ]
    assert json_rows(bad_file(out))[1]["row"].encode(errors="surrogateescape") == b"5,caf\xe9,1\n"
    shop.write_text(ROWS, encoding="utf-8")
    tag_catalogue(suggester, shop, out)
    assert not bad_file(out).exists(), "of an earlier run"


def test_what_the_suggester_refuses_is_a_bad_row_too(suggester: Suggester, tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "out.csv"
    path.write_text("title,language\nLinen,fr\nLinen,en\n", encoding="utf-8")
    _, asked, result = tag_catalogue(suggester, path, out)
    assert (asked, result.tagged, result.bad) == (2, 1, 1)
    assert "does not answer in 'fr'" in json_rows(bad_file(out))[0]["reason"]


def test_rules_that_leave_nothing_are_no_fault_of_a_row(suggester: Suggester, shop: Path) -> None:
    everything = TagRules(banned=tuple(tag.id for tag in suggester.vocabulary))
    for rules in (everything, TagRules(banned=("no/such",))):
        with pytest.raises(InvalidRules):
            tag_catalogue(suggester, shop, shop.with_name("out.csv"), wishes=Wishes(rules=rules))
    assert not shop.with_name("out.csv").exists()


def test_no_cell_that_is_added_is_a_formula(tiny_bundle: Path, suggester: Suggester, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("title,note\nLinen,=1+1\n", encoding="utf-8")
    table = open_table(path)
    layout = layout_of(table, path)
    assert isinstance(layout, PlainLayout)
    (item,) = layout.items()
    answer = Answer((GivenTag("sale", "-10%", 1.0, auto=True),), "=cmd()", "model@1", ())
    (cells,) = layout.cells(item, "k", answer, ())
    assert (cells["hangtag_tags"], cells["hangtag_explanation"]) == ("'-10%", "'=cmd()")
    out = tmp_path / "out.csv"
    tag_catalogue(suggester, path, out)
    assert csv_rows(out)[0]["note"] == "=1+1", "the merchant's own cells are not ours to change"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_csv_is_written_as_it_was(suggester: Suggester, tmp_path: Path, mark: bytes) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "out.csv"
    path.write_bytes(mark + 'title;"a ""b"""\r\n"Linen; ""x""\n\r";亚麻\r\n'.encode())
    tag_catalogue(suggester, path, out)
    data = out.read_bytes()
    assert data.startswith(mark + b'title;"a ""b""";hangtag_tags;')
    assert '"Linen; ""x""\n\r";亚麻;'.encode() in data
    assert data.count(b"\r\n") == 2
    path.write_bytes("title\n亚麻衬衫\n".encode("gb18030"))
    with pytest.raises(InvalidData, match=r"line 2: not UTF-8 .*save the file as UTF-8, or say its --encoding, such as gb18030"):
        tag_catalogue(suggester, path, tmp_path / "other.csv")


def test_engines_that_fail_cost_nothing_that_was_answered(tiny_bundle: Path, suggester: Suggester, tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "out.csv"
    path.write_text("id,title\n" + "".join(f"{n},Linen shirt {n}\n" for n in range(100)), encoding="utf-8")
    failing = suggester_with(Failing(suggester.engine, 70), tiny_bundle)
    with pytest.raises(EngineError, match="out of memory"):
        tag_catalogue(failing, path, out)
    assert not out.exists()
    survey, asked, result = tag_catalogue(suggester, path, out)
    assert 6 <= survey.tagged <= 70
    assert (survey.tagged + asked, result.tagged) == (100, 100)
    assert [row["id"] for row in csv_rows(out)] == [str(n) for n in range(100)]


def test_a_catalogue_that_changes_meanwhile_is_not_written(suggester: Suggester, shop: Path) -> None:
    out, table = shop.with_name("out.csv"), open_table(shop)
    with Journal.opened(journal_file(out)) as journal:
        batch = Batch(table, layout_of(table, out), out, journal, suggester)
        batch.survey()
        asyncio.run(batch.ask(lambda: None))
        shop.write_text(ROWS + "4,New,1\n", encoding="utf-8")
        with pytest.raises(InvalidData, match="was changed while it was being tagged; run the command again"):
            batch.write()
        shop.write_text(ROWS.replace("20", "21"), encoding="utf-8")
        os.utime(shop, (1, 1))
        with pytest.raises(InvalidData, match="was changed"):
            batch.write()
    assert sorted(path.name for path in shop.parent.iterdir()) == ["out.csv.hangtag.jsonl", "shop.csv"]


def test_shopify_products_are_tagged_whole_and_tags_are_merged(suggester: Suggester, tmp_path: Path) -> None:
    path, out = tmp_path / "products.csv", tmp_path / "out.csv"
    path.write_text(SHOPIFY, encoding="utf-8")
    survey, _, result = tag_catalogue(suggester, path, out)
    assert (survey.items, result.tagged) == (2, 2)
    given, tagged = csv_rows(path), csv_rows(out)
    assert [row | {"Tags": ""} for row in tagged] == [row | {"Tags": ""} for row in given]
    first = tagged[0]["Tags"].split(", ")
    assert first[:2] == ["Sale", "linen"]
    assert len(first) > 2
    assert len({tag.casefold() for tag in first}) == len(first)
    assert [row["Tags"] for row in tagged[1:3]] == ["", ""]
    assert tagged[3]["Tags"]


def test_tags_that_hangtag_gave_are_not_the_merchants(suggester: Suggester, tmp_path: Path) -> None:
    path, out = tmp_path / "products.csv", tmp_path / "out.csv"
    path.write_text(SHOPIFY, encoding="utf-8")
    tag_catalogue(suggester, path, out, wishes=Wishes(explain=False, min_tags=6, max_tags=6))
    many = csv_rows(out)[0]["Tags"]
    path.write_bytes(out.read_bytes())  # the shop took them over, and exports them
    for _ in range(2):
        tag_catalogue(suggester, path, out, wishes=Wishes(explain=False, max_tags=1))
        few = csv_rows(out)[0]["Tags"].split(", ")
        assert few[:2] == ["Sale", "linen"]
        assert len(few) <= 3 < len(many.split(", "))


@pytest.mark.parametrize(
    ("label", "name", "message"),
    [
        ("a, b", "products.csv", "has a comma, which Shopify takes for the end of a tag"),
        ("a|b", "shop.csv", "has a '|', which separ"),
    ],
)
def test_labels_that_a_file_can_not_hold_are_refused_first(
    tiny_bundle: Path, shop: Path, tmp_path: Path, label: str, name: str, message: str
) -> None:
    from tests.fakes import vocabulary_of

    suggester = suggester_with(FailingEngine(), tiny_bundle)
    suggester.vocabulary = vocabulary_of(label)
    (tmp_path / "products.csv").write_text(SHOPIFY, encoding="utf-8")
    with pytest.raises(InvalidVocabulary) as caught:
        tag_catalogue(suggester, tmp_path / name, tmp_path / "out.csv")
    assert message in str(caught.value)


def test_files_that_are_not_to_be_written_to(shop: Path, tmp_path: Path) -> None:
    table = open_table(shop)
    (tmp_path / "theirs.csv").touch()
    (tmp_path / "link.csv").symlink_to(shop)
    cases = [
        ("out.xlsx", InvalidData, "don't know the ending '.xlsx'"),
        ("out.parquet", InvalidData, "Parquet stays Parquet, text stays text"),
        ("none/out.csv", OutputError, "there is no directory"),
        ("shop.csv", OutputError, "would be written over what is read"),
        ("link.csv", OutputError, "would be written over what is read"),
        ("theirs.csv", OutputError, "is there already and was not written by hangtag batch"),
    ]
    for name, kind, message in cases:
        with pytest.raises(kind) as caught:
            check_files(table, tmp_path / name)
        assert message in str(caught.value)
    check_files(table, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title\n", "shop.csv: has no rows"),
        ("title,x\n,1\n,2\n", "none of its 2 rows can be tagged; line 2: the listing is empty"),
    ],
)
def test_a_catalogue_of_nothing_is_an_error(suggester: Suggester, shop: Path, content: str, message: str) -> None:
    shop.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidData) as caught:
        tag_catalogue(suggester, shop, shop.with_name("out.csv"))
    assert message in str(caught.value)
    assert not shop.with_name("out.csv").exists()


def test_csv_can_become_jsonl_and_jsonl_csv(suggester: Suggester, shop: Path) -> None:
    lines, back = shop.with_name("a.jsonl"), shop.with_name("back.csv")
    tag_catalogue(suggester, shop, lines)
    assert json_rows(lines)[0]["title"] == "Linen shirt, summer"
    _, asked, _ = tag_catalogue(suggester, lines, back)
    assert asked == 3, "answers are written otherwise there"
    with back.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file))[:3] == ["id", "title", "price"]
    assert csv_rows(back)[0]["hangtag_tags"] == "|".join(json_rows(lines)[0]["hangtag_tags"])
