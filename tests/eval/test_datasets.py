"""The converters, each on a row or two written by hand in the form of its data set."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import SETS, Converted, convert
from eval.rows import read_rows, write_rows
from hangtag.errors import InvalidData

SIYUAN = {
    "kind": "plugins",
    "id": "notes",
    "title": {"default": "Notes", "zh_CN": "批注"},
    "description": {"default": "Write notes.", "zh-CN": "写批注。", "ja": "ノート"},
    "tags": ["note", "批注"],
}
EXTRACTED = {"input": "Acme mug", "category": "Mug", "target_scores": {"Brand": {"Acme": 1}, "Color": {"n/a": 1}}}
EXAMPLES: dict[str, tuple[dict[str, Any], list[tuple[str, str, tuple[str, ...], str | None]]]] = {
    "retail_demo_store": (
        {"id": "1", "name": "Pack", "description": "For hikes.", "category": "accessories", "style": "backpack"},
        [("Pack", "For hikes.", ("accessories", "backpack"), "en")],
    ),
    "retail_demo_store_styles": (
        {"id": "1", "name": "Pack", "description": "For hikes.", "category": "accessories", "style": "backpack"},
        [("Pack", "For hikes.", ("backpack",), "en")],
    ),
    "litemall_zh": (
        {
            "id": "1",
            "title": "四件套",
            "brief": "精致",
            "category_path": ["居家", "床品"],
            "attributes": [
                {"attribute": "材质", "value": "棉"},
                {"attribute": "材质", "value": "棉"},
                {"attribute": "材质", "value": "麻"},
            ],
        },
        [("四件套", "精致", ("床品",), "zh")],
    ),
    "oa_mine": (EXTRACTED, [("Acme mug", "", ("Brand: Acme",), "en")]),
    "ae_110k": (EXTRACTED, [("Acme mug", "", ("Brand: Acme",), "en")]),
    "winget_tags": ({"id": "1", "name": "Zip", "tags": ["zip", "压缩"]}, [("Zip", "", ("zip", "压缩"), "en")]),
    "lobe_agents": (
        {
            "id": "1",
            "en": {"title": "Year", "description": "Wishes.", "tags": ["art"]},
            "zh": {"title": "年", "description": "祝福", "tags": ["艺术"]},
        },
        [("Year", "Wishes.", ("art",), "en"), ("年", "祝福", ("艺术",), "zh")],
    ),
    "siyuan_bazaar": (
        SIYUAN,
        [("Notes", "Write notes.", ("note", "批注"), "en"), ("批注", "写批注。", ("note", "批注"), "zh")],
    ),
    "takg_stackexchange": (
        {"text": "why ? <eos> because .", "tags": ["reason"]},
        [("why ?", "because .", ("reason",), "en")],
    ),
    "takg_weibo": ({"text": "沉默 里", "tags": ["宋茜"]}, [("沉默 里", "", ("宋茜",), "zh")]),
    "fewclue_iflytek": ({"id": 0, "label": 70, "label_des": "工具", "sentence": "护眼"}, [("", "护眼", ("工具",), "zh")]),
    "openbg_zh_union": (
        {"title": "地毯", "attributes": [["材质", "棉"], ["面料", "棉"]], "coarse": "大百货"},
        [("地毯", "", ("棉",), "zh")],
    ),
    "implicitave": (
        {"id": "B0", "category": "Shoes", "texts": "[Title] Ankle boot", "attribute_values": "Low Heel"},
        [("Ankle boot", "", ("Low Heel",), "en")],
    ),
}


def _convert(directory: Path, name: str, *rows: dict[str, Any]) -> Converted:
    file = directory / SETS[name][0]
    file.parent.mkdir()
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return convert(name, directory)


@pytest.mark.parametrize("name", SETS)
def test_each_set(tmp_path: Path, name: str) -> None:
    given, expected = EXAMPLES[name]
    converted = _convert(tmp_path, name, given)
    found = [(r.listing.title, r.listing.description, r.tags, r.listing.language) for r in converted.rows]
    assert found == expected
    assert [tag.label("und") for tag in converted.vocabulary] == sorted({tag for row in converted.rows for tag in row.tags})
    write_rows(converted.rows, tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == converted.rows


def test_an_unknown_set_and_a_row_of_another_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="unknown data set 'mnist'; use one of retail_demo_store"):
        convert("mnist", tmp_path)
    with pytest.raises(InvalidData, match=r"packages\.jsonl\.gz: line 1: not a row of winget_tags: KeyError\('id'\)"):
        _convert(tmp_path, "winget_tags", {"name": "Zip"})


def test_attributes_are_kept_once_and_the_category_stays_out_of_the_listing(tmp_path: Path) -> None:
    assert _convert(tmp_path, "litemall_zh", EXAMPLES["litemall_zh"][0]).rows[0].listing.attributes == (("材质", "棉 / 麻"),)
    row = _convert(tmp_path, "oa_mine", EXTRACTED).rows[0]
    assert (row.category, row.listing.attributes) == ("Mug", ())


def test_rows_of_one_product_share_its_id(tmp_path: Path) -> None:
    rows = _convert(tmp_path, "lobe_agents", EXAMPLES["lobe_agents"][0]).rows
    assert [(row.listing.id, row.product_id) for row in rows] == [("1.en", "1"), ("1.zh", "1")]


def test_case_variants_become_the_most_frequent_form_and_of_equals_the_first(tmp_path: Path) -> None:
    tags = [["PDF", "Zip"], ["pdf", "zip"], ["Pdf", "pdf"]]
    converted = _convert(tmp_path, "winget_tags", *({"id": str(n), "name": "x", "tags": t} for n, t in enumerate(tags)))
    assert [row.tags for row in converted.rows] == [("pdf", "Zip"), ("pdf", "Zip"), ("pdf",)]
    assert converted.notes == ["3 labels merged into one that differs only in case", "1 tags that a row had twice"]
    assert [merged.line() for merged in converted.merged] == [
        "'Zip' (1) also stands for 'zip' (1)",
        "'pdf' (2) also stands for 'PDF' (1), 'Pdf' (1)",
    ]


def test_what_is_cleaned_cut_or_left_out_is_counted(tmp_path: Path) -> None:
    converted = _convert(
        tmp_path,
        "retail_demo_store",
        {"id": "1", "name": "Bell\u0007", "description": "d" * 30_000, "category": "a", "style": "s" * 201},
        {"id": "2", "name": "No tags", "description": "", "category": " ", "style": ""},
        {"id": "3", "name": "\u0000", "description": " ", "category": "a", "style": "b"},
    )
    (row,) = converted.rows
    assert (row.listing.title, len(row.listing.description), row.tags) == ("Bell", 20_000 - len("Bell") - len("1"), ("a",))
    assert sorted(converted.notes) == [
        "1 listings cut to the limit",
        "1 rows left out: no tags",
        "1 rows left out: no text",
        "2 texts with control characters, removed",
        "3 tags left out: empty or too long",
    ]


def test_default_texts_stand_back_behind_texts_that_name_their_language(tmp_path: Path) -> None:
    named = SIYUAN | {"title": {"default": "Old", "en_US": "New"}, "description": {"default": "Old text.", "en_US": "New text."}}
    converted = _convert(tmp_path, "siyuan_bazaar", named)
    assert [(row.listing.title, row.listing.description) for row in converted.rows] == [("New", "New text.")]


def test_a_missing_title_is_the_default_one_and_a_package_may_have_no_texts(tmp_path: Path) -> None:
    untitled = SIYUAN | {"title": {"default": "Notes"}, "description": {"zh_CN": "写批注。", "en": ""}}
    converted = _convert(tmp_path, "siyuan_bazaar", untitled, SIYUAN | {"title": None, "description": None})
    assert [(row.listing.title, row.listing.id) for row in converted.rows] == [("Notes", "notes.zh")]
