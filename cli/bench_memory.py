"""`hangtag bench memory`: how long the memory takes as it grows. It knows columns, no index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hangtag.files import save_json


def memory(
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Remembered listings.")] = "10000,100000,1000000",
    asked: Annotated[int, typer.Option(min=20, help="New listings that are looked up, one after the other.")] = 1000,
    peers_up_to: Annotated[
        int, typer.Option("--peers-up-to", min=0, help="Beside SQLite's full-text search and an exact scan, up to so many.")
    ] = 100_000,
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the memory is made and stays, else among temporary files.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
) -> None:
    """A memory of generated listings that grows: adding, looking up, and what a look-up says of the tags; on one thread.

    With --directory a run that was interrupted goes on with the memory that is there; FILE keeps what was finished."""
    from dataclasses import asdict
    from functools import partial

    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    from cli.bench import sizes_of
    from cli.console import messages, output, plain_table, print_table
    from eval.speed.memory import run
    from hangtag.errors import InvalidSettings

    counts = sizes_of(sizes)
    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    done = []
    columns = (*Progress.get_default_columns()[:2], TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages()) as bars:
        bar = bars.add_task("Remembering", total=max(counts))
        for grown in run(counts, asked, partial(bars.advance, bar), peers_up_to=peers_up_to, directory=directory):
            done.append(grown)
            if json is not None:
                save_json([asdict(each) for each in done], json)
    table = plain_table("listings", "added /s", "MB on disk", "add one ms", "recall", "look-up", "median ms", "p99 ms")
    for grown in done:
        recall = "" if grown.recall is None else f"{grown.recall:.2f}"
        for place, timing in enumerate(grown.timings):
            about = (
                f"{grown.listings:,}",
                f"{grown.rate:,.0f}" if grown.rate else "",
                f"{grown.megabytes:,.0f}",
                f"{grown.add_one_ms:.1f}",
                recall,
            )
            row = about if place == 0 else ("",) * len(about)
            table.add_row(*row, timing.name, f"{timing.median:.2f}", f"{timing.p99:.2f}")
    print_table(output(), table)
