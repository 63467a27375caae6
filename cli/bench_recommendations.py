"""`hangtag bench recommendations`: how long they take as a catalogue grows. It knows columns, no index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hangtag.files import save_json


def recommendations(
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Products of the catalogues.")] = "10000,100000,1000000",
    asked: Annotated[int, typer.Option(min=20, help="Users that are recommended to, one after the other.")] = 500,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
) -> None:
    """Recommendations over generated catalogues of ten tags a product, beside an exact scan of all products."""
    from dataclasses import asdict

    from rich.progress import Progress, TimeElapsedColumn

    from cli.bench import sizes_of
    from cli.console import messages, output, plain_table, print_table
    from eval.speed.recommendations import run
    from hangtag.errors import InvalidSettings

    counts = sizes_of(sizes)
    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    with Progress(*Progress.get_default_columns()[:2], TimeElapsedColumn(), console=messages()) as bars:
        bar = bars.add_task("Catalogues", total=sum(counts))
        done = list(run(counts, asked, lambda products: bars.advance(bar, products)))
    if json is not None:
        save_json([asdict(each) for each in done], json)
    table = plain_table("products", "build s", "memory MB", "look", "median ms", "p99 ms")
    for grown in done:
        for place, timing in enumerate(grown.timings):
            about = (f"{grown.products:,}", f"{grown.build_s:.1f}", f"{grown.megabytes:.0f}") if place == 0 else ("", "", "")
            table.add_row(*about, timing.name, f"{timing.median:.2f}", f"{timing.p99:.2f}")
    print_table(output(), table)
