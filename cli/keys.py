"""`hangtag keys`: the API keys of a server, given out and taken back. It knows options and tables, and no hash."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Give out API keys and take them back.", no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Where the keys are (else $HANGTAG_KEYS).", show_default=False)
]


@app.command()
def add(
    tenant: Annotated[str, typer.Argument(help="Whose it is: what is remembered and cached belongs to the tenant.")],
    admin: Annotated[bool, typer.Option("--admin", help="May also load adapters and see metrics.")] = False,
    rate: Annotated[
        str, typer.Option(metavar="N/TIME", help="How often it may ask, such as 600/minute.", show_default=False)
    ] = "",
    file: FileOption = None,
) -> None:
    """Make a key. It is shown once: the file has only its hash."""
    from cli.console import messages
    from serve.auth import rate_of
    from serve.keys import add_key

    if rate:
        rate_of(rate)
    key, secret = add_key(_file(file), tenant, admin=admin, rate=rate)
    messages().print(f"Key {key.id} of {key.tenant}; keep it now, it is not shown again:")
    typer.echo(secret)


@app.command(name="list")
def list_keys(file: FileOption = None) -> None:
    """Show whose keys there are, without the keys."""
    from cli.console import output, plain_table, print_table
    from serve.keys import read_keys

    table = plain_table("Id", "Tenant", "May", "Rate", "Made", "Revoked")
    for key in read_keys(_file(file)).values():
        table.add_row(key.id, key.tenant, "all" if key.admin else "suggest", key.rate, key.created, key.revoked)
    print_table(output(), table)


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="Of the key, as `hangtag keys list` shows it.")], file: FileOption = None
) -> None:
    """Take a key back. Servers refuse it from their next request on."""
    from cli.console import messages
    from serve.keys import revoke_key

    key = revoke_key(_file(file), id)
    messages().print(f"Key {key.id} of {key.tenant} is good for nothing since {key.revoked}.")


def _file(given: Path | None) -> Path:
    from hangtag.errors import InvalidSettings
    from serve.settings import read_settings

    path = read_settings(keys=given).keys
    if path is None:
        raise InvalidSettings("there is no file of keys; name one with --file, or set HANGTAG_KEYS", field="keys")
    if not path.parent.is_dir():
        raise InvalidSettings(f"{path}: there is no directory {path.parent}; make it first", field="keys")
    return path
