"""`hangtag bench batch`: a catalogue beside its own engine. It knows columns, no engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import BundleOption, EngineOption, ServersOption

if TYPE_CHECKING:
    from eval.speed.batch import Figures
    from serve.settings import Settings


def batch(
    listings: Annotated[int, typer.Option(min=1, help="Rows of the catalogue.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Turns of each; the median ratio is shown.")] = 3,
    in_flight: Annotated[int | None, typer.Option(min=1, help="Rows asked at a time (else as `hangtag batch` does).")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    bundle: BundleOption = None,
    engine: EngineOption = None,
    servers: ServersOption = None,
) -> None:
    """`hangtag batch` on a made-up catalogue as a share of its engine's own throughput: the same requests handed to the engine at
    once, in turns with the batch."""
    import asyncio

    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    settings = read_settings(bundle=bundle, engine=engine, servers=servers)
    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    figures = asyncio.run(_measured(settings, listings, rounds, in_flight))
    if json is not None:
        from eval.speed.batch import write_json

        write_json(figures, {"engine": settings.engine}, json)
    _show(figures)


async def _measured(settings: Settings, listings: int, rounds: int, in_flight: int | None) -> Figures:
    import tempfile

    from cli.console import load_suggester, messages
    from eval.speed.batch import make_catalogue, measure
    from serve.batch import rows_in_flight

    suggester = load_suggester(settings)
    try:
        with tempfile.TemporaryDirectory() as folder, messages().status("") as status:
            warm_up, catalogue = Path(folder) / "warm-up.csv", Path(folder) / "catalogue.csv"
            most = in_flight or rows_in_flight(settings.engine, settings.servers)
            for path, count in ((warm_up, most), (catalogue, listings)):
                make_catalogue(suggester.vocabulary, suggester.bundle.languages, count, path)
            return await measure(suggester, warm_up, catalogue, Path(folder), rounds, status.update, most)
    finally:
        await suggester.engine.close()


def _show(figures: Figures) -> None:
    from cli.console import output, plain_table, print_table

    table = plain_table("round", "batch s", "rows/s", "engine alone s", "rows/s", "tokens/s", "batch / engine")
    for number, each in enumerate(figures.rounds, start=1):
        seconds = (each.batch_s, each.engine_s)
        cells = [f"{text:.2f}" for second in seconds for text in (second, figures.listings / second)]
        table.add_row(str(number), *cells, f"{each.tokens / each.engine_s:,.0f}", f"{each.ratio:.3f}")
    console = output()
    print_table(console, table)
    console.print(f"{figures.listings:,} rows, median of {len(figures.rounds)} rounds: {figures.ratio:.3f}")
