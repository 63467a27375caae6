"""`hangtag memory`: listings that are tagged already, remembered so that they help at once. It knows files and tables, not how
likeness is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import BundleOption, EncoderOption, MemoryOption, VocabularyOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

    from hangtag.vocabulary import TagVocabulary
    from serve.memory import Memory
    from serve.settings import Settings

app = typer.Typer(help="Remember tagged listings, so that they help with new ones.", no_args_is_help=True)

MOST_SHOWN = 10


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows: JSONL with id, title, ..., tags.")],
    memory: MemoryOption = None,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    known_tags: Annotated[
        bool, typer.Option("--known-tags", help="Leave out tags that the vocabulary lacks, and rows without any other.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are wrong, and say which, instead of stopping.")
    ] = False,
) -> None:
    """Remember the rows of a file; a row with a known id replaces what was known.

    A server with this memory uses them from its next request on. Interrupted and run again, it adds what is missing.

    Example: hangtag memory add tagged.jsonl --memory shop-memory --vocabulary tags.csv
    """
    from dataclasses import replace

    from cli.console import messages, output
    from eval.corpus import looked_up
    from eval.rows import Row, read_file
    from serve.memory import FEWEST_LISTINGS, Memory
    from serve.settings import read_settings

    settings = read_settings(memory=memory, vocabulary=vocabulary, bundle=bundle)
    directory, tags = _directory(settings), _vocabulary(settings)
    screen = messages()
    with screen.status("Reading"):
        notes: list[str] = []
        rows, gold = looked_up(read_file(file, skip_bad=skip_bad), tags, notes, skip_bad, known_tags)
    with _bar(screen) as bar:
        task = bar.add_task("Remembering", total=len(rows.rows))

        def remembered() -> Iterator[Row]:
            for row, found in zip(rows.rows, gold, strict=True):
                yield replace(row, tags=tuple(tags.tags[tag].id for tag in found))
                bar.advance(task)

        held = Memory(directory, tags)
        try:
            done = held.add(remembered())
        finally:
            held.close()
    console = output()
    counts = ", ".join(f"{done[what]:,} {what}" for what in ("added", "replaced", "unchanged"))
    console.print(f"{counts}; {directory} has {len(held):,} listings", soft_wrap=True)
    for note in notes:
        console.print(f"Note: {note}", soft_wrap=True)
    for skipped in rows.skipped[:MOST_SHOWN]:
        console.print(f"Skipped: line {skipped.line}: {skipped.reason}", soft_wrap=True)
    if len(rows.skipped) > MOST_SHOWN:
        console.print(f"Skipped {len(rows.skipped):,} lines in all", soft_wrap=True)
    if not held.trust.fitted_on and len(held) >= FEWEST_LISTINGS:
        console.print("Now find out how far to trust it: hangtag memory fit", soft_wrap=True)


@app.command()
def fit(
    memory: MemoryOption = None,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
) -> None:
    """Find out how far to trust the memory, by holding out the listings it has one after another.

    Servers with this memory use the result from their next request on; an interruption leaves what was there. Do it again when
    the memory has grown much. Give the vocabulary and the encoder of serving."""
    from cli.console import messages, output
    from hangtag.bundle import Bundle
    from serve.candidates import Candidates
    from serve.memory import Memory
    from serve.memory import fit as fitted
    from serve.settings import read_settings

    settings = read_settings(memory=memory, vocabulary=vocabulary, bundle=bundle, encoder=encoder)
    tags = _vocabulary(settings)
    held = Memory.open(_directory(settings), tags)
    meanings = None
    if settings.encoder is not None:
        from serve.semantic import SentenceTransformerEncoder

        meanings = SentenceTransformerEncoder(settings.encoder)
    candidates = Candidates(tags, encoder=meanings, thesaurus=Bundle.load(settings.bundle).vocabulary)
    with _bar(messages()) as bar:
        task = bar.add_task("Fitting", total=1.0)
        fitted(held, candidates, lambda share: bar.update(task, completed=share))
        bar.update(task, completed=1.0)
    console = output()
    _show_trust(held, console)


@app.command()
def show(
    memory: MemoryOption = None,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    like: Annotated[str | None, typer.Option(metavar="TEXT", help="The remembered listings most like this one.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Listings or tags that are shown at most.")] = MOST_SHOWN,
) -> None:
    """Show how much is remembered, the tags used most, and how far it is trusted; or what it has that is like a text."""
    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.listing import Listing
    from serve.memory import Memory
    from serve.settings import read_settings

    settings = read_settings(memory=memory, vocabulary=vocabulary, bundle=bundle)
    directory, tags = _directory(settings), _vocabulary(settings)
    held = Memory.open(directory, tags)
    console = output()
    if like is not None:
        table = plain_table("likeness", "id", "title", "tags")
        for found in held.similar(Listing(title=like), count):
            labels = ", ".join(_label(tag, tags) for tag in found.tags)
            table.add_row(f"{found.score:.2f}", Text(found.id), Text(found.title), Text(labels))
        if table.row_count:
            print_table(console, table)
        else:
            console.print("No remembered listing has a word in common with it.")
        return
    used = held.tags()
    known = sum(tag in tags for tag in used)
    console.print(f"{directory}: {len(held):,} listings with {len(used):,} different tags", soft_wrap=True)
    if known < len(used):
        console.print(f"Note: {len(used) - known:,} of these tags are not in the vocabulary {tags.name!r} and count for nothing")
    if used:
        table = plain_table("tag", "listings")
        for tag, times in sorted(used.items(), key=lambda pair: (-pair[1], pair[0]))[:count]:
            table.add_row(Text(_label(tag, tags)), f"{times:,}")
        print_table(console, table)
    _show_trust(held, console)


def _directory(settings: Settings) -> Path:
    from hangtag.errors import InvalidSettings

    if settings.memory is None:
        raise InvalidSettings("nobody said where the memory is; give --memory DIR, or set HANGTAG_MEMORY", field="memory")
    return settings.memory


def _vocabulary(settings: Settings) -> TagVocabulary:
    from hangtag.bundle import Bundle
    from hangtag.formats import read_vocabulary

    if settings.vocabulary is not None:
        return read_vocabulary(settings.vocabulary)
    return Bundle.load(settings.bundle).vocabulary


def _label(tag: str, vocabulary: TagVocabulary) -> str:
    """A label that a person knows, else the id."""
    return next(iter(vocabulary.tags[vocabulary.index(tag)].labels.values())) if tag in vocabulary else tag


def _show_trust(memory: Memory, console: Console) -> None:
    from cli.calibrate import promise_line
    from cli.console import plain_table, print_table
    from hangtag.calibration import PRECISION
    from serve.memory import FEWEST_LISTINGS

    trust = memory.trust
    if not trust.fitted_on:
        few = f"too few listings for that, {FEWEST_LISTINGS} are needed"
        reason = few if len(memory) < FEWEST_LISTINGS else "say `hangtag memory fit`"
        console.print(f"Not fitted, so it is trusted as memories usually are: {reason}", soft_wrap=True)
        return
    console.print(f"\nTrusted as {trust.fitted_on:,} of its listings said, each held out:", soft_wrap=True)
    table = plain_table("figure", "value")
    for name, value in trust.figures.items():
        table.add_row(name, f"{value:.3f}")
    print_table(console, table)
    if trust.curve is not None:
        console.print(f"\n{promise_line(trust.curve, PRECISION)}", soft_wrap=True)


def _bar(screen: Console) -> Progress:
    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
