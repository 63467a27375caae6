"""`hangtag bench load`: many callers at once while adapters come and go. It knows columns, no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import BundleOption, EngineOption, ServersOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.speed.load import Load


def load(
    callers: Annotated[str, typer.Option(metavar="N,N", help="Callers at once, in turn.")] = "128,500",
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long each takes, after half of it to warm up.")] = 120,
    adapters: Annotated[bool, typer.Option("--adapters/--no-adapters", help="Whether adapters come and go meanwhile.")] = True,
    explanation: Annotated[bool, typer.Option("--explanation/--no-explanation", help="Whether answers say why.")] = True,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    bundle: BundleOption = None,
    engine: EngineOption = None,
    servers: ServersOption = None,
) -> None:
    """`hangtag serve` on this machine under load: answers a second, what callers wait, and that nothing is dropped or wrong. Ends
    with status 1 where something was."""
    from cli.bench import sizes_of
    from cli.console import messages
    from eval.speed.load import Plan, run, write_json
    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    many = sizes_of(callers, "--callers")
    if many[0] < 1:
        raise typer.BadParameter(f"{many[0]} callers ask nothing", param_hint="--callers")
    settings = read_settings(bundle=bundle, engine=engine, servers=servers)
    options = ["--engine", settings.engine, *(("--servers", settings.servers) if settings.servers else ())]
    plan = Plan(settings.bundle, many, seconds, adapters, explanation, options)
    loads: list[Load] = []
    with messages().status("") as status:
        for each in run(plan, status.update):
            loads.append(each)
            if json is not None:
                write_json(loads, {"engine": settings.engine, "explains": explanation}, json)
    _show(loads)
    if not all(each.is_flawless for each in loads):
        raise typer.Exit(1)


def _show(loads: Sequence[Load]) -> None:
    from cli.console import output, plain_table, print_table

    table = plain_table("callers", "answers/s", "p50 s", "p99 s", "status", "wrong", "adapters in, out", "MB", "grown MB")
    for each in loads:
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(each.statuses.items()))
        wrong = ", ".join(f"{what}: {count:,}" for what, count in each.wrong.items()) or "0"
        waited = (f"{each.percentile(share):.2f}" for share in (50, 99))
        memory = (f"{each.megabytes[-1]:,.0f}", f"{each.growth:+.1f}") if each.megabytes else ("", "")
        table.add_row(f"{each.callers}", f"{each.rate:.1f}", *waited, statuses, wrong, f"{each.loaded}, {each.unloaded}", *memory)
    console = output()
    print_table(console, table)
    for each in loads:
        for reason in each.refused:
            console.print(reason, soft_wrap=True)
    if len(loads) > 1:
        first, last = loads[0], loads[-1]
        share = last.rate / first.rate if first.rate else 0.0
        console.print(f"{last.callers} callers have {share:.2f} of the answers a second of {first.callers}.")
