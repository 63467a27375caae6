"""`hangtag bench`: how fast decoding and training are beside others, as tables and as JSON. It knows columns, no engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.bench_batch import batch
from cli.bench_events import events
from cli.bench_gateway import gateway
from cli.bench_load import load
from cli.bench_memory import memory
from cli.bench_recommendations import recommendations
from cli.bench_serving import serving
from cli.finetune import SetOption
from cli.options import BundleOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eval.speed.decoding import Row

app = typer.Typer(help="Measure speed beside other engines.", no_args_is_help=True)


app.command()(batch)
app.command()(events)
app.command()(gateway)
app.command()(load)
app.command()(memory)
app.command()(recommendations)
app.command()(serving)


@app.callback()
def bench() -> None:
    """Measure speed beside other engines."""


@app.command()
def decoding(
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Tags of the vocabularies.")] = "1000,10000,73000",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    engines: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Only these engines.")] = None,
    tokenizers: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="tekken, bundled, or both.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=4096, help="Rows of a batch.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Turns of each engine; medians are shown.")] = 5,
    limit: Annotated[float, typer.Option(min=1, help="Seconds after which an engine is stopped.")] = 120,
    bundle: BundleOption = None,
) -> None:
    """Constrained decoding: fill the packed mask and accept the token, for our engine and others, on the same tags and answers.

    Figures belong together only within one run, so a run that was interrupted begins anew; FILE keeps what was finished."""
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from cli.console import messages, output, print_table
    from eval.speed.decoding import Plan, run, write_json
    from eval.speed.tokenizers import TOKENIZERS
    from eval.speed.worker import ENGINES
    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    plan = Plan(
        sizes=sizes_of(sizes),
        bundle=read_settings(bundle=bundle).bundle,
        engines=engines.split(",") if engines else ENGINES,
        tokenizers=tokenizers.split(",") if tokenizers else TOKENIZERS,
        rows=rows,
        rounds=rounds,
        limit=limit,
    )
    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    done: list[Row] = []
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages()) as bar:
        task = bar.add_task("Starting", total=plan.measurements)
        for case in run(plan, lambda what: bar.update(task, description=what, advance=1)):
            done += case
            if json is not None:
                write_json(plan, done, json)
    console = output()
    for tokenizer in plan.tokenizers:
        of_tokenizer = [row for row in done if row.tokenizer == tokenizer]
        console.print(f"Tokenizer: {tokenizer}. Getting ready, and memory", soft_wrap=True)
        print_table(console, _ready_table(of_tokenizer))
        console.print(f"\nTokenizer: {tokenizer}. Mask and accept, µs a row and step", soft_wrap=True)
        print_table(console, _step_table(of_tokenizer, rows))
        console.print()


@app.command()
def finetune(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="Whose model, rows and settings (else those of smoke.yaml).")
    ] = None,
    set_: SetOption = None,
    steps: Annotated[int, typer.Option(min=5, help="Steps of a turn that are timed.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Turns of each trainer; medians are shown.")] = 5,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
) -> None:
    """Training: rows a second of our trainer, plain and with `loss: allowed`, beside TRL's on the same batches."""
    from cli.console import output, plain_table, print_table
    from cli.finetune import Bars, read

    if json is not None and not json.parent.is_dir():
        from hangtag.errors import InvalidSettings

        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    given = read(recipe, set_)
    from finetune.bench import PEER, SYSTEMS, run, write_json

    with Bars() as bars:
        done = 0

        def tick(system: str) -> None:
            nonlocal done
            bars.done("Turns", done, system)
            done += 1

        bars.begin("Turns", rounds * len(SYSTEMS))
        speeds = run(given, steps=steps, rounds=rounds, watch=bars, tick=tick)
        bars.done("Turns", done)
    if json is not None:
        write_json(given, speeds, json)
    peer = next(speed.median for speed in speeds if speed.system == PEER)
    table = plain_table("trainer", "rows/s", "slowest", "fastest", f"/ {PEER}", "last loss")
    for speed in speeds:
        rows = speed.rows_per_second
        figures = (speed.median, min(rows), max(rows), speed.median / peer)
        table.add_row(speed.system, *map(_number, figures), f"{speed.loss:.3f}")
    print_table(output(), table)


def sizes_of(text: str, option: str = "--sizes") -> list[int]:
    """Numbers with commas between, ascending, as an option says them."""
    try:
        return sorted({int(size) for size in text.split(",")})
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1000,10000", param_hint=option) from None


def _ready_table(rows: Sequence[Row]) -> Table:
    from cli.console import plain_table
    from eval.speed.decoding import REFERENCE, ratio

    table = plain_table(
        "tags", "engine", "tokenise s", "ready s", f"/ {REFERENCE}", "request µs", "memory MB", "trie B/tag", "note"
    )
    for row in rows:
        memory, arrays = row.figure("warm_memory_bytes"), row.figure("array_bytes")
        table.add_row(
            f"{row.size:,}",
            row.engine,
            _number(row.figure("tokenising_s")),
            _number(row.figure("ready_s")),
            _number(ratio(rows, row, "ready_s")),
            _number(row.figure("request_us")),
            _number(memory / 1e6 if memory is not None else None),
            _number(arrays / row.size if arrays is not None else None),
            row.note,
        )
    return table


def _step_table(rows: Sequence[Row], batch: int) -> Table:
    from cli.console import plain_table
    from eval.speed.decoding import REFERENCE, growth, ratio

    first, warm = ("first walk", "p99"), ("warm", "p99", f"/ {REFERENCE}", "/ fewest tags")
    table = plain_table("tags", "engine", *first, *warm, f"batch of {batch}", f"/ {REFERENCE}", "logits")
    for row in rows:
        table.add_row(
            f"{row.size:,}",
            row.engine,
            *(_number(row.figure(name)) for name in ("cold_us", "cold_p99_us", "warm_us", "warm_p99_us")),
            _number(ratio(rows, row, "warm_us")),
            _number(growth(rows, row, "warm_us")),
            _number(row.figure("batch_us")),
            _number(ratio(rows, row, "batch_us")),
            _number(row.figure("logits_us")),
        )
    return table


def _number(value: float | None) -> str:
    """Three digits that count; nothing where there is no figure."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
