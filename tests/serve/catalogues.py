"""Small catalogues as files, and a batch over them with the tiny bundle."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

from serve.batch import Batch, Result, Survey, Wishes, journal_file
from serve.catalogue.items import Layout
from serve.catalogue.journal import Journal
from serve.catalogue.plain import Columns, PlainLayout
from serve.catalogue.shopify import ShopifyLayout
from serve.catalogue.tables import Table, open_table
from serve.suggester import Suggester

SHOPIFY = """\
Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant Price,Image Src
linen-shirt,Linen camp shirt,"<p>Breathable &amp; light.</p>
<ul><li>For hot days</li></ul>",Flaxco,Tops,"Sale, linen",TRUE,Colour,Navy,29.00,a.jpg
linen-shirt,,,,,,,,White,29.00,b.jpg
linen-shirt,,,,,,,,,,c.jpg
buds,Wireless headphones,,Acme,,,TRUE,Title,Default Title,49.00,
"""


def layout_of(table: Table, out: Path, *said: str) -> Layout:
    """Shopify's where the header is, unless somebody says what columns are."""
    if not said and ShopifyLayout.recognised(table):
        return ShopifyLayout(table)
    return PlainLayout(table, Columns.of(table, said), joined=out.suffix in (".csv", ".tsv"))


def tag_catalogue(
    suggester: Suggester, path: Path, out: Path, *said: str, wishes: Wishes | None = None
) -> tuple[Survey, int, Result]:
    """A whole run: what was found, how many items were asked, and what came of it."""
    table = open_table(path)
    asked = 0

    def tick() -> None:
        nonlocal asked
        asked += 1

    with Journal.opened(journal_file(out)) as journal:
        batch = Batch(table, layout_of(table, out, *said), out, journal, suggester, wishes or Wishes(explain=False))
        survey = batch.survey()
        asyncio.run(batch.ask(tick))
        return survey, asked, batch.write()


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV as a plain reader sees them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def json_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of JSONL."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
