"""`hangtag events`: what users did, from files. It knows files and bars, not what becomes of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BundleOption, StoreOption, TenantOption, VocabularyOption

app = typer.Typer(help="Take in what users did.", no_args_is_help=True)

BATCH = 500


@app.callback()
def events() -> None:
    """Take in what users did."""


@app.command()
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Events: JSONL, CSV, TSV or Parquet with user, type, at, ...")],
    store: StoreOption = None,
    tenant: TenantOption = None,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
) -> None:
    """Take in the events of a file: user, type, at, product or tags, idempotency_key.

    An event that came before counts once, so that an interrupted or corrected file can be loaded again. A line that is wrong
    stops it and is named; the parts of the file before it are kept.

    Example: hangtag events load events.csv --vocabulary tags.csv
    """
    from itertools import islice

    from cli.console import messages, open_store, output, read_tags
    from hangtag.errors import InvalidHistory, InvalidInput
    from serve.event_files import read_events
    from serve.keys import LOCAL_TENANT
    from serve.settings import read_settings

    settings = read_settings(store=store, vocabulary=vocabulary, bundle=bundle)
    tags = read_tags(settings)
    added = repeated = 0
    given = read_events(file, tags)
    kept = open_store(settings)
    try:
        with messages().status("Loading") as status:
            while batch := list(islice(given, BATCH)):
                try:
                    taken = kept.add_events(tenant or LOCAL_TENANT, [event for _, event in batch])
                except InvalidHistory as error:
                    place, _, reason = str(error).partition(": ")
                    line = batch[int(place.removeprefix("events[").removesuffix("]"))][0]
                    raise InvalidHistory(f"{file}: line {line}: {reason}", field=error.field) from error
                added, repeated = added + taken.added, repeated + taken.repeated
                status.update(f"Loading: {added + repeated:,} events")
    except InvalidInput as error:
        if not added + repeated:
            raise
        before = f"{added + repeated:,} events before it were taken in; load the file again once it is right"
        raise type(error)(f"{error} ({before})", field=error.field) from error
    finally:
        kept.close()
    output().print(f"{added:,} events taken in, {repeated:,} had come before", soft_wrap=True)
