"""`hangtag feedback`: what became of suggestions, for training. It knows files, no recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import StoreOption, TenantOption

app = typer.Typer(help="What became of suggestions.", no_args_is_help=True)


@app.callback()
def feedback() -> None:
    """What became of suggestions."""


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it, JSONL.")],
    store: StoreOption = None,
    tenant: TenantOption = None,
) -> None:
    """Write all feedback with its listings to a file that `hangtag finetune` reads. Nobody's interests are in it.

    Example: hangtag feedback export feedback.jsonl
    """
    from dataclasses import replace

    from cli.console import messages, open_store, output
    from eval.rows import Row
    from finetune.feedback import TAGS, feedback_on, write_feedback
    from serve.keys import LOCAL_TENANT
    from serve.settings import read_settings

    kept = open_store(read_settings(store=store))
    found = []
    try:
        with messages().status("Reading"):
            for recorded, said, at in kept.feedback(tenant or LOCAL_TENANT):
                listing = replace(recorded.listing, id=recorded.id)
                row = Row(listing, recorded.suggested or said.added, recorded.listing.id or recorded.id, at=at)
                tags = {name: getattr(said, name) for name in TAGS if name != "suggested"}
                found.append(feedback_on(row, suggested=recorded.suggested, **tags))
    finally:
        kept.close()
    write_feedback(found, file)
    output().print(f"Feedback on {len(found):,} suggestions in {file}", soft_wrap=True)
