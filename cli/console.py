"""What commands print with, and how they load a model while a person waits. It knows terminals and pipes, no command."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hangtag.vocabulary import TagVocabulary
    from serve.settings import Settings
    from serve.store import Store
    from serve.suggester import Suggester

PIPED_WIDTH = 1000
"""Columns where nobody's screen sets a limit: nothing is folded on its way to a file or another program."""


def output() -> Console:
    """Stdout; texts come out as they are, without markup, emoji codes or highlighting."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, markup=False, emoji=False, highlight=False)


def messages() -> Console:
    """Stderr, for progress."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def plain_table(*columns: str) -> Table:
    """A table without lines, so that it reads the same on a screen and in a file."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_table(console: Console, table: Table) -> None:
    """The table, without the blanks at the ends of lines where nobody's screen needs them."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), soft_wrap=True)


def load_suggester(settings: Settings) -> Suggester:
    """The suggester that the settings name; what libraries chat while they load is left out."""
    with messages().status("Loading the model"):
        logging.getLogger().addHandler(logging.NullHandler())
        from transformers.utils import logging as transformers_logging

        from serve.assemble import assemble
        from serve.engines.choice import EngineChoice

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        return assemble(
            settings.bundle,
            settings.vocabulary,
            encoder=settings.encoder,
            vocabulary_dir=settings.vocabulary_dir,
            memory=settings.memory,
            engine=EngineChoice(
                settings.engine,
                tuple(filter(None, (settings.servers or "").split(","))),
                settings.server_key.get_secret_value() if settings.server_key is not None else None,
                settings.engine_options or {},
                adapters=settings.bundles is not None,
            ),
        )


def open_store(settings: Settings) -> Store:
    """The store that the settings name. Raises `InvalidSettings`."""
    from hangtag.errors import InvalidSettings
    from serve.settings import NO_STORE
    from serve.store import Store

    if settings.store == NO_STORE:
        raise InvalidSettings("the settings say that nothing is kept; give --store, or set HANGTAG_STORE", field="store")
    return Store(settings.store, user_key=settings.user_key.get_secret_value() if settings.user_key is not None else None)


def read_tags(settings: Settings) -> TagVocabulary:
    """The vocabulary that the settings name, without a model."""
    from hangtag.bundle import Bundle
    from hangtag.formats import read_vocabulary

    return read_vocabulary(settings.vocabulary) if settings.vocabulary is not None else Bundle.load(settings.bundle).vocabulary
