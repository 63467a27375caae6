"""`hangtag eval`: how good suggestions are on rows with known tags, two runs compared, and rows made of public data sets. It
knows files and tables, no metric.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evaluate_run import OutOption, run
from cli.evaluate_users import users

if TYPE_CHECKING:
    from eval.labels import Merged

app = typer.Typer(help="Measure suggestions on rows with known tags.", no_args_is_help=True)
app.command()(run)
app.command()(users)

MERGED_SHOWN = 10


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's folder, or FOLDER:SYSTEM (hangtag, if none is said).")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run to compare with.")],
) -> None:
    """Show two runs with paired differences, and which of them are real (95%, bootstrap over the rows both have)."""
    from cli.console import output, plain_table, print_table
    from eval.compare import compare as compare_runs

    comparison = compare_runs(first, second)
    table = plain_table("metric", "A", "B", "A - B", "95% interval", "better")
    for each in comparison.figures:
        verdict = {"first": "A", "second": "B"}.get(each.verdict, each.verdict)
        span = f"{each.difference.low:+.4f} to {each.difference.high:+.4f}"
        table.add_row(each.name, f"{each.first:.4f}", f"{each.second:.4f}", f"{each.difference.value:+.4f}", span, verdict)
    console = output()
    print_table(console, table)
    console.print(f"{comparison.rows:,} rows; A is {first}, B is {second}", soft_wrap=True)
    if comparison.only_first or comparison.only_second:
        left = f"{comparison.only_first:,} rows that only A has and {comparison.only_second:,} that only B has"
        console.print(f"Left out: {left}", soft_wrap=True)


@app.command()
def convert(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, such as retail_demo_store.")],
    directory: Annotated[Path, typer.Option("--from", metavar="DIR", help="The folder that holds the sets' folders.")],
    out: OutOption,
) -> None:
    """Make rows.jsonl and vocabulary.jsonl of a public data set; labels that became one are in merged.txt."""
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
    _show_merged(converted.merged, out / "merged.txt")


@app.command()
def split(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows: JSONL with id, title, ..., tags.")],
    out: OutOption,
    test_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the rows that goes to test.")] = 0.2,
    by_time: Annotated[
        bool, typer.Option("--by-time", help="The latest rows to test, by `at`; else by a hash of the product's id.")
    ] = False,
) -> None:
    """Split rows into train.jsonl and test.jsonl: the same rows give the same halves, whatever their order."""
    from cli.console import output
    from eval.rows import read_rows, write_rows
    from eval.splits import split as split_by_hash
    from eval.splits import split_by_time

    train, test = (split_by_time if by_time else split_by_hash)(read_rows(file), test_share)
    out.mkdir(parents=True, exist_ok=True)
    write_rows(train, out / "train.jsonl")
    write_rows(test, out / "test.jsonl")
    output().print(f"{len(train):,} rows in {out / 'train.jsonl'}, {len(test):,} in {out / 'test.jsonl'}", soft_wrap=True)


def _show_merged(merged: list[Merged], file: Path) -> None:
    from cli.console import output

    if not merged:
        file.unlink(missing_ok=True)
        return
    file.write_text("".join(each.line() + "\n" for each in merged), encoding="utf-8")
    for each in merged[:MERGED_SHOWN]:
        output().print(f"Merged: {each.line()}", soft_wrap=True)
    if len(merged) > MERGED_SHOWN:
        output().print(f"Merged: {len(merged) - MERGED_SHOWN:,} labels more, all in {file}", soft_wrap=True)
