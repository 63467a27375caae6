"""`hangtag bench gateway`: what HTTP and the suggester add to an engine's latency. It knows columns, no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BundleOption


def gateway(
    callers: Annotated[int, typer.Option(min=1, help="Callers at once.")] = 32,
    latency: Annotated[float, typer.Option(min=0.001, help="Seconds that the engine takes for every answer.")] = 0.25,
    seconds: Annotated[float, typer.Option(min=1, help="How long each case takes; a fifth is for warming up.")] = 15,
    remembered: Annotated[str, typer.Option(metavar="N,N", help="Listings in the memory, 0 for none.")] = "0,10000",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    bundle: BundleOption = None,
) -> None:
    """The gateway over an engine of fixed latency: what callers wait beyond it, answers a second, memory over time."""
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from cli.bench import sizes_of
    from cli.console import messages, output, plain_table, print_table
    from eval.speed.gateway import Case, run, write_json
    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    cases = [Case(callers, latency, seconds, count) for count in sizes_of(remembered)]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages()) as bars:
        bar = bars.add_task("Cases", total=len(cases))
        loads = []
        for load in run(read_settings(bundle=bundle).bundle, cases):
            loads.append(load)
            bars.advance(bar)
    if json is not None:
        write_json(loads, json)
    table = plain_table(
        "callers", "engine ms", "remembered", "answers/s", "added p50 ms", "p90", "p99", "CPU ms", "status", "MB", "grown MB"
    )
    for load in loads:
        case = load.case
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(load.statuses.items()))
        added = (f"{load.added(percentile):.2f}" for percentile in (50, 90, 99))
        about = (f"{case.callers}", f"{1000 * case.latency:g}", f"{case.remembered:,}", f"{load.answers_per_second:.0f}")
        table.add_row(*about, *added, f"{load.cpu_ms:.2f}", statuses, f"{load.megabytes[-1]:.0f}", f"{load.growth:+.1f}")
    print_table(output(), table)
