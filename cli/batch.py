"""`hangtag batch`: a whole catalogue, with progress, resumed where it was interrupted. It knows options, files and a bar; how
rows are read, asked and written is `serve.batch`'s.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import (
    BundleOption,
    EncoderOption,
    EngineOption,
    MemoryOption,
    MinConfidenceOption,
    ServersOption,
    VocabularyOption,
)
from cli.rules import BanOption, ExclusiveOption, LimitOption, OnlyOption, ParentOrChildOption, tag_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from serve.batch import Survey, Wishes
    from serve.catalogue.items import Layout
    from serve.catalogue.tables import Table
    from serve.settings import Settings

INTERRUPTED = 130


def batch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Your catalogue: .csv, .tsv, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The same with tags.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=COLUMN",
            help="Which column is id, title, description, language or an attribute (the last may be repeated);"
            " else those with these names.",
        ),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of IN, such as gb18030 (else UTF-8, or UTF-16 with its mark).")] = None,
    language: Annotated[str | None, typer.Option(help="Of answers, such as en or zh (else as each text looks).")] = None,
    min_tags: Annotated[int, typer.Option(help="At least so many tags.")] = 1,
    max_tags: Annotated[int | None, typer.Option(help="At most so many (else five).")] = None,
    min_confidence: MinConfidenceOption = None,
    explanation: Annotated[bool, typer.Option("--explanation/--no-explanation", help="Whether to say why.")] = True,
    ban: BanOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    exclusive: ExclusiveOption = None,
    parent_or_child: ParentOrChildOption = False,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = None,
    servers: ServersOption = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Rows asked at a time (else as many as keep the engine full).")
    ] = None,
) -> None:
    """Suggest tags for every row of a catalogue. Run again, it goes on where it was interrupted, and asks only what is new.

    Answers come in columns hangtag_*; Shopify's product CSV gets them merged into Tags. OUT.hangtag.jsonl keeps them: leave it
    there. Rows that can't be tagged are in OUT.bad.jsonl, with the reason.
    """
    import asyncio

    from serve.batch import Wishes, check_files
    from serve.catalogue.tables import open_table
    from serve.settings import read_settings

    begun = time.monotonic()
    table = open_table(source, encoding)
    check_files(table, out)
    layout = _layout(table, out, column, language)
    settings = read_settings(bundle=bundle, vocabulary=vocabulary, encoder=encoder, memory=memory, engine=engine, servers=servers)
    rules = tag_rules(ban, only, limit, exclusive, parent_or_child)
    wishes = Wishes(min_tags=min_tags, max_tags=max_tags, explain=explanation, rules=rules, min_confidence=min_confidence)
    try:
        asyncio.run(_run(settings, table, layout, out, wishes, in_flight, begun))
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; the same command goes on where it was. Answers are kept beside {out}.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _layout(table: Table, out: Path, column: Sequence[str] | None, language: str | None) -> Layout:
    """Shopify's, if the header is and nobody says otherwise what columns are."""
    from serve.catalogue.plain import Columns, PlainLayout
    from serve.catalogue.shopify import ShopifyLayout

    if not column and ShopifyLayout.recognised(table):
        return ShopifyLayout(table, language=language)
    joined = out.suffix.lower() in (".csv", ".tsv")
    return PlainLayout(table, Columns.of(table, column or ()), language=language, joined=joined)


async def _run(
    settings: Settings, table: Table, layout: Layout, out: Path, wishes: Wishes, in_flight: int | None, begun: float
) -> None:
    from cli.console import load_suggester
    from serve.batch import Batch, journal_file, rows_in_flight
    from serve.catalogue.journal import Journal

    suggester = load_suggester(settings)
    try:
        with Journal.opened(journal_file(out)) as journal:
            batch = Batch(table, layout, out, journal, suggester, wishes)
            survey = batch.survey()
            with _bar() as bars:
                task = bars.add_task(layout.unit, total=survey.items - survey.bad, completed=survey.tagged)
                await batch.ask(lambda: bars.advance(task), in_flight or rows_in_flight(settings.engine, settings.servers))
            result = batch.write()
    finally:
        await suggester.engine.close()
    _show(layout, survey, result.tagged, out, begun)
    if result.bad:
        reason = f"the first: {result.first_reason}"
        typer.echo(f"{result.bad:,} {layout.unit} could not be tagged, {reason}; they are in {result.bad_file}")


def _show(layout: Layout, survey: Survey, tagged: int, out: Path, begun: float) -> None:
    before = f", {survey.tagged:,} of them before" if survey.tagged else ""
    seconds = time.monotonic() - begun
    typer.echo(f"{tagged:,} {layout.unit} tagged{before}, in {seconds:.1f} s; they are in {out}")


def _bar() -> Progress:
    """With the rate and the time that is left."""
    from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    from cli.console import messages

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.1f}/s" if speed else "")

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), Rate(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=messages())
