"""`hangtag users`: what is held of users, given out, deleted, thinned by age. It knows no table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import StoreOption, TenantOption

if TYPE_CHECKING:
    from datetime import timedelta

app = typer.Typer(help="What is held of users: give it out, delete it.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="As events name the user.")]


@app.command()
def export(user: UserArgument, store: StoreOption = None, tenant: TenantOption = None) -> None:
    """Show all that is held of a user, as JSON: events, interests, suggestions."""
    from cli.console import open_store
    from serve.keys import LOCAL_TENANT
    from serve.settings import read_settings
    from serve.store_schemas import HeldBody

    kept = open_store(read_settings(store=store))
    try:
        held = kept.export(tenant or LOCAL_TENANT, user)
    finally:
        kept.close()
    typer.echo(HeldBody.of(user, held).model_dump_json(indent=2))


@app.command()
def delete(user: UserArgument, store: StoreOption = None, tenant: TenantOption = None) -> None:
    """Delete everything of a user."""
    from cli.console import open_store, output
    from serve.keys import LOCAL_TENANT
    from serve.settings import read_settings

    kept = open_store(read_settings(store=store))
    try:
        gone = kept.remove_user(tenant or LOCAL_TENANT, user)
    finally:
        kept.close()
    console = output()
    if not gone.users:
        console.print(f"Nothing is held of {user}", soft_wrap=True)
        return
    console.print(
        f"{gone.events:,} events and {gone.suggestions:,} suggestions deleted; nothing is held of {user}", soft_wrap=True
    )


@app.command()
def purge(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="Such as 90d, 12w or 36h.")],
    store: StoreOption = None,
) -> None:
    """Delete events of that age or older, of all users and tenants, and users that nothing is left of.

    Suggestions of that age go too, except those with feedback that were made for no user. Interests are made again of what is
    left. Interrupted and run again, it goes on.

    Example: hangtag users purge --older-than 365d
    """
    from cli.console import messages, open_store, output
    from serve.settings import read_settings

    age = _age(older_than)
    kept = open_store(read_settings(store=store))
    try:
        with messages().status("Deleting") as status:
            gone = kept.purge(age, lambda done: status.update(f"Deleting: {done.events:,} events"))
    finally:
        kept.close()
    counts = f"{gone.events:,} events, {gone.suggestions:,} suggestions, {gone.users:,} users"
    output().print(f"Deleted: {counts}", soft_wrap=True)


def _age(text: str) -> timedelta:
    from datetime import timedelta

    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no age such as 90d, 12w or 36h", param_hint="--older-than")
    return timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[found[2]]: int(found[1])})
