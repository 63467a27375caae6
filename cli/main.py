"""The `hangtag` command as a whole, and the one place where errors become a line on stderr and an exit code. It knows the names
of the subcommands, not what they do, and imports nothing heavy.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from cli import batch, bench, bundle, evaluate, events, feedback, finetune, keys, memory, serve, suggest, users, vocabulary
from hangtag.errors import Cancelled, EngineError, HangtagError, InvalidAnswer, OutputError, StoreUnavailable

FAILED, INVALID = 1, 2
"""Exit codes: hangtag could not; what was handed in is wrong."""

FAILURES = (EngineError, InvalidAnswer, OutputError, StoreUnavailable, Cancelled)


class Commands(TyperGroup):
    """The commands; what they raise for a person to handle is said in a line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HangtagError as error:
            message, code = str(error), FAILED if isinstance(error, FAILURES) else INVALID
        except BrokenPipeError:
            raise
        except OSError as error:
            message, code = f"{error.filename or 'input or output'}: {error.strerror or error}", FAILED
        line = " ".join(message.split())
        typer.echo("Error: " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), err=True)
        raise typer.Exit(code)


app = typer.Typer(
    cls=Commands,
    name="hangtag",
    help="Suggests tags for product listings, from your own vocabulary only, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("suggest")(suggest.suggest)
app.command("batch")(batch.batch)
app.command("serve")(serve.serve)
app.add_typer(vocabulary.app, name="vocabulary")
app.add_typer(bundle.app, name="bundle")
app.add_typer(memory.app, name="memory")
app.add_typer(evaluate.app, name="eval")
app.add_typer(finetune.app, name="finetune")
app.add_typer(events.app, name="events")
app.add_typer(feedback.app, name="feedback")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Where the `hangtag` command starts. Characters that an old terminal can't show are spelt out, never an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
