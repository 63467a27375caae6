"""`hangtag bench events`: how fast events go in and interests come out. It knows columns, no store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BundleOption
from hangtag.files import save_json


def events(
    rate: Annotated[float, typer.Option(min=1, help="Single events a second.")] = 300,
    seconds: Annotated[float, typer.Option(min=1, help="How long each part goes on.")] = 10,
    history: Annotated[int, typer.Option(min=100, help="Events of the user with the long history, in hundreds.")] = 10_000,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="An empty database to use (else a SQLite file that is deleted).")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    bundle: BundleOption = None,
) -> None:
    """Events over HTTP, one at a time at a fixed rate and in batches, and the interests of a user with a long history.

    The server is one of its own, with the bundle's model loaded and idle."""
    import tempfile
    from dataclasses import asdict

    from cli.console import messages, output, plain_table, print_table
    from eval.speed.events import measure
    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    settings = read_settings(bundle=bundle)
    with tempfile.TemporaryDirectory() as directory, messages().status("Starting") as status:
        url = store or f"sqlite:///{directory}/events.db"
        measured = measure(settings.bundle, url, rate=rate, seconds=seconds, history=history, tell=status.update)
    if json is not None:
        save_json(asdict(measured), json)
    table = plain_table("what", "count", "median ms", "p99 ms", "most ms", "a second")
    for figure in measured.figures:
        times = (f"{value:.2f}" for value in (figure.median, figure.p99, figure.most))
        table.add_row(figure.name, f"{figure.count:,}", *times, f"{figure.rate:,.0f}")
    console = output()
    print_table(console, table)
    console.print()
    console.print(f"{measured.missed} of {measured.checked} events were not in the profile right after", soft_wrap=True)
    reading = measured.figures[-1].median
    console.print(
        f"{measured.history:,} events, {measured.tags:,} tags: within {measured.error:.3%} of the exact profile, which takes"
        f" {measured.exact_ms:,.0f} ms, {measured.exact_ms / reading:,.0f} times as long",
        soft_wrap=True,
    )
