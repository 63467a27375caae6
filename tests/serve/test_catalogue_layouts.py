"""What columns mean: of plain tables, and of Shopify's product CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hangtag.errors import InvalidData
from serve.catalogue.answer import Answer, GivenTag
from serve.catalogue.items import BadItem, Item
from serve.catalogue.plain import Columns, PlainLayout
from serve.catalogue.shopify import MOST_TAGS, ShopifyLayout, seen_text, tags_of
from serve.catalogue.tables import Table, open_table
from tests.serve.catalogues import SHOPIFY

NEW_TEMPLATE = """\
Title,URL handle,Description,Vendor,Product category,Type,Tags,Status,Option1 name,Option1 value,Price,Product image URL
Linen shirt,linen-shirt,<b>Light</b>,Flaxco,Apparel > Shirts,Tops,"Sale",Active,Size,S,29,
,linen-shirt,,,,,,,,M,29,
"""


def table_of(tmp_path: Path, content: str, name: str = "a.csv") -> Table:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return open_table(path)


def columns_of(tmp_path: Path, header: str, *said: str) -> Columns:
    return Columns.of(table_of(tmp_path, header + "\n"), said)


def test_columns_are_known_by_their_names_or_by_what_is_said(tmp_path: Path) -> None:
    assert columns_of(tmp_path, "ID,Title,text") == Columns(id="ID", title="Title")
    assert columns_of(tmp_path, "title,language,description") == Columns("", "title", "description", "language")
    said = columns_of(tmp_path, "sku,title,name,size,colour", "title=name", "id=sku", "attribute=size", "attribute=colour")
    assert said == Columns("sku", "name", attributes=("size", "colour"))


@pytest.mark.parametrize(
    ("header", "said", "message"),
    [
        (
            "name,x",
            [],
            "a.csv: no column is called title or description; say which one is, such as --column title=COLUMN; columns: ",
        ),
        ("title", ["title=Name"], "there is no column 'Name' for title; columns: title"),
        ("title,colour", ["attribute=color"], "there is no column 'color' for attribute; did you mean 'colour'?"),
        ("title", ["name=title"], "--column 'name=title' is not MEANING=COLUMN; meanings: id, title"),
        ("title", ["title"], "--column 'title' is not MEANING=COLUMN"),
        ("a,b", ["title=a", "title=b"], "--column says two columns for title"),
    ],
)
def test_columns_that_do_not_exist_are_said(tmp_path: Path, header: str, said: Sequence[str], message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        columns_of(tmp_path, header, *said)
    assert message in str(caught.value)


def test_a_row_becomes_a_listing(tmp_path: Path) -> None:
    table = table_of(tmp_path, "sku,title,colour,size,language\n7, Shirt ,navy,,en\n8,衬衫,,M,\n")
    layout = PlainLayout(table, Columns.of(table, ["id=sku", "attribute=colour", "attribute=size"]), language="zh")
    first, second = layout.items()
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert (first.listing.id, first.listing.title, first.listing.attributes) == ("7", "Shirt", (("colour", "navy"),))
    assert (first.listing.language, second.listing.language, second.listing.attributes) == ("en", "zh", (("size", "M"),))


def shopify(tmp_path: Path, content: str) -> list[Item | BadItem]:
    table = table_of(tmp_path, content)
    assert ShopifyLayout.recognised(table)
    return list(ShopifyLayout(table).items())


def test_a_product_is_all_of_its_rows(tmp_path: Path) -> None:
    shirt, buds = shopify(tmp_path, SHOPIFY)
    assert isinstance(shirt, Item)
    assert isinstance(buds, Item)
    assert [record.line for record in shirt.records] == [2, 4, 5]
    assert shirt.listing.id == "linen-shirt"
    assert shirt.listing.description == "Breathable & light.\nFor hot days"
    assert shirt.listing.attributes == (("Vendor", "Flaxco"), ("Type", "Tops"), ("Colour", "Navy, White"))
    assert shirt.tags == ("Sale", "linen")
    assert buds.listing.attributes == (("Vendor", "Acme"),), "Shopify's option of a product without options says nothing"


def test_the_newer_template_is_known_too(tmp_path: Path) -> None:
    (shirt,) = shopify(tmp_path, NEW_TEMPLATE)
    assert isinstance(shirt, Item)
    assert (shirt.listing.id, shirt.listing.title, shirt.listing.description) == ("linen-shirt", "Linen shirt", "Light")
    assert ("Product category", "Apparel > Shirts") in shirt.listing.attributes
    assert ("Size", "S, M") in shirt.listing.attributes


def test_other_tables_are_not_shopifys(tmp_path: Path) -> None:
    assert not ShopifyLayout.recognised(table_of(tmp_path, "Handle,Title,Tags\n"))
    assert not ShopifyLayout.recognised(table_of(tmp_path, '{"Handle": 1, "Title": 1, "Body (HTML)": 1, "Tags": 1}', "a.jsonl"))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (("Linen camp shirt", ""), {(2, 4, 5): "the first row of a product has no Title", (6,): None}),
        (("buds,", "linen-shirt,"), {(2, 4, 5, 6): None}),
        (
            ("\nbuds,", "\nbuds,Twice,,,,,TRUE,,,1,\nlinen-shirt,,,,,,,,Red,9,\nbuds,"),
            {
                (2, 4, 5): "rows of 'linen-shirt' begin in lines 2, 7; the rows of a product must follow each other",
                (6,): "rows of 'buds' begin in lines 6, 8",
                (7,): "rows of 'linen-shirt' begin in lines 2, 7",
                (8,): "rows of 'buds' begin in lines 6, 8",
            },
        ),
        (
            ("29.00,c.jpg", "29.00,c.jpg,more"),
            {
                (2, 4): "line 5, which may belong to this product, can't be read",
                (5,): "12 columns, the header has 11",
                (6,): None,
            },
        ),
        (("\nbuds,", "\n,"), {(2, 4, 5): None, (6,): None}),
        (("\nbuds,", "\n,,,,,,,,,,d.jpg\nbuds,"), {(2, 4, 5): None, (6,): "the first row of a product has no Title", (7,): None}),
    ],
)
def test_products_are_taken_whole_or_not_at_all(tmp_path: Path, change: tuple[str, str], reasons: dict) -> None:
    content = SHOPIFY.replace(",,,,,,,,,,c.jpg", ",,,,,,,,,29.00,c.jpg").replace(*change, 1)
    found = {tuple(record.line for record in item.records): item for item in shopify(tmp_path, content)}
    assert list(found) == list(reasons)
    for lines, reason in reasons.items():
        item = found[lines]
        if reason is None:
            assert isinstance(item, Item)
        else:
            assert isinstance(item, BadItem)
            assert reason in item.reason


def test_tags_are_merged_into_the_first_row(tmp_path: Path) -> None:
    table = table_of(tmp_path, SHOPIFY)
    layout = ShopifyLayout(table)
    item = next(layout.items())
    assert isinstance(item, Item)
    answer = Answer(
        tuple(GivenTag(label, label, 1.0, auto=False) for label in ("Linen", "Tops", "ＳＡＬＥ", "Summer")), "", "m", ()
    )
    assert list(layout.cells(item, "k", answer, ["Sale", "linen"])) == [{"Tags": "Sale, linen, Tops, Summer"}, {}, {}]
    many = [f"tag {number}" for number in range(MOST_TAGS - 1)]
    assert layout.cells(item, "k", answer, many)[0]["Tags"] == ", ".join([*many, "Linen"])
    assert tags_of(" a,, b ,a,") == ["a", "b"]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain, 1 < 2 & 3", "plain, 1 < 2 & 3"),
        ("<p>One</p><p>two <b>three</b></p>\n four<br/>five", "One\ntwo three\nfour\nfive"),
        ("<style>p{}</style>seen<script>alert(1)</script>", "seen"),
        ("a&nbsp;b &lt;c&gt;", "a b <c>"),
        ("<p>never closed", "never closed"),
        ("</script></p>x", "x"),
        ("a<![foo[ b > c", "a c"),
        ("a<![ b", "a<![ b"),
        ("a<![CDATA[b]]>c<![*]>d<![if !IE]>e<![endif]><!-- f --><!DOCTYPE g>h", "acdeh"),
    ],
)
def test_the_text_of_a_page_is_what_is_seen(html: str, text: str) -> None:
    assert seen_text(html) == text
