"""`hangtag eval`: how good suggestions are on rows with known tags, and rows made of public data sets. It knows files and
progress bars, no metric.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import BundleOption, EncoderOption, VocabularyOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.rows import Row
    from eval.run import Prediction
    from serve.settings import Settings

app = typer.Typer(help="Measure suggestions on rows with known tags.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go; made if it is missing.")]


@app.command()
def run(
    test: Annotated[Path, typer.Option(metavar="FILE", help="Rows: JSONL with id, title, ..., tags.")],
    out: OutOption,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Tags asked for, and the k of the metrics.")] = 5,
    known_tags: Annotated[
        bool,
        typer.Option(
            "--known-tags", help="Leave out tags that the vocabulary lacks, and rows without any other; both are counted."
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
) -> None:
    """Suggest tags for every row and compare: report.json and predictions.jsonl.

    Run again, it goes on where it was interrupted."""
    import asyncio

    from eval.rows import read_rows
    from hangtag.errors import InvalidData
    from serve.settings import read_settings

    rows = read_rows(test)[:limit]
    if not rows:
        raise InvalidData(f"{test}: the file has no rows")
    settings = read_settings(bundle=bundle, vocabulary=vocabulary, encoder=encoder)
    out.mkdir(parents=True, exist_ok=True)
    asyncio.run(_run(settings, rows, test, out, k, known_tags))


async def _run(settings: Settings, rows: Sequence[Row], test: Path, out: Path, k: int, known_tags: bool) -> None:
    import json

    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from cli.console import load_suggester, messages, output, plain_table, print_table
    from eval.run import append_prediction, make_questions, measure, predict, read_predictions, with_known_tags
    from hangtag.errors import InvalidData

    suggester = load_suggester(settings)
    try:
        given = {"rows": len(rows), "labels": len({tag for row in rows for tag in row.tags})}
        if known_tags:
            rows = with_known_tags(rows, suggester.vocabulary)
            if not rows:
                raise InvalidData(f"{test}: no row has a tag of the vocabulary {suggester.vocabulary.name!r}")
        used = {"rows": len(rows), "labels": len({tag for row in rows for tag in row.tags})}
        questions = make_questions(rows, suggester, k=k)
        file = out / "predictions.jsonl"
        known = read_predictions(file)
        answered: list[Prediction] = [known[question.key] for question in questions if question.key in known]
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=messages()) as bar:
            task = bar.add_task("Suggesting", total=len(questions), completed=len(answered))
            async for prediction in predict(suggester, [question for question in questions if question.key not in known]):
                append_prediction(prediction, file)
                answered.append(prediction)
                bar.advance(task)
    finally:
        await suggester.engine.close()
    metrics = measure(answered, k=k)
    report = {
        "model": suggester.bundle.model,
        "vocabulary": {"name": suggester.vocabulary.name, "hash": suggester.vocabulary.hash},
        "test": test.name,
        "given": given,
        "used": used,
        "k": k,
        "metrics": metrics,
        "quotes": sum(prediction.quotes for prediction in answered),
        "false_quotes": sum(prediction.false_quotes for prediction in answered),
    }
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    table = plain_table("metric", *metrics)
    for name in dict.fromkeys(name for column in metrics.values() for name in column):
        table.add_row(name, *(f"{column[name]:.4f}" if name in column else "" for column in metrics.values()))
    console = output()
    print_table(console, table)
    if used != given:
        left_out = f"{given['rows'] - used['rows']:,} rows and {given['labels'] - used['labels']:,} labels"
        console.print(f"Left out, since the vocabulary lacks their tags: {left_out}", soft_wrap=True)
    console.print(f"{used['rows']:,} rows with {used['labels']:,} labels; report and predictions are in {out}", soft_wrap=True)


@app.command()
def convert(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, such as retail_demo_store.")],
    directory: Annotated[Path, typer.Option("--from", metavar="DIR", help="The folder that holds the sets' folders.")],
    out: OutOption,
) -> None:
    """Make rows.jsonl and vocabulary.jsonl of a public data set."""
    from cli.console import output
    from eval.datasets import convert as convert_set
    from eval.rows import write_rows
    from hangtag.formats import write_jsonl

    converted = convert_set(name, directory)
    out.mkdir(parents=True, exist_ok=True)
    write_rows(converted.rows, out / "rows.jsonl")
    write_jsonl(converted.vocabulary, out / "vocabulary.jsonl")
    console = output()
    console.print(f"{len(converted.rows):,} rows, {len(converted.vocabulary):,} tags in {out}", soft_wrap=True)
    for note in converted.notes:
        console.print(f"Note: {note}", soft_wrap=True)
