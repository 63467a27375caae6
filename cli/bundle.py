"""`hangtag bundle`: what a bundle is made of, after its hashes were checked. It loads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look into bundles.", no_args_is_help=True)


@app.callback()
def bundles() -> None:
    """Look into bundles."""


@app.command()
def show(directory: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle's directory.")]) -> None:
    """Check a bundle's hashes and show what it is made of."""
    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.bundle import Bundle

    bundle = Bundle.load(directory)
    vocabulary = bundle.vocabulary
    weights = bundle.weights
    rows = {
        "model": bundle.model,
        "base": str(bundle.base.name) if bundle.base else f"{bundle.hub} at {bundle.revision} (hub)",
        "adapter": bundle.adapter.name if bundle.adapter else "none",
        "prompt": bundle.prompt_file.name,
        "vocabulary": f"{bundle.vocabulary_file.name}: {len(vocabulary):,} tags, hash {vocabulary.hash[:12]}…",
        "languages": ", ".join(bundle.languages),
        "context": f"{bundle.context:,} tokens",
        "weights": f"candidates {weights.own_candidates:g} (own tags, {weights.own_stated:g} more nats if stated),"
        f" {weights.other_candidates:g} (other tags);"
        f" interests {weights.interests:g}; evidence {weights.evidence:g}",
    }
    table = plain_table("", "")
    table.show_header = False
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console = output()
    print_table(console, table)
    console.print("All hashes match.")
