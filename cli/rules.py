"""The options by which a command takes a merchant's rules. They know how rules are written on a command line, not what tags there
are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hangtag.tag_rules import TagRules

BanOption = Annotated[list[str] | None, typer.Option("--ban", metavar="ID", help="A tag that may not come; may be repeated.")]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", metavar="ID", help="A tag that may come, and no others may; may be repeated.")
]
LimitOption = Annotated[
    list[str] | None, typer.Option("--limit", metavar="FACET=N", help="At most N tags of a facet; may be repeated.")
]
ExclusiveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclusive",
        metavar="ID,ID",
        help="Tags of which at most one may come; may be repeated. An id with a comma stands in quotation marks.",
    ),
]
ParentOrChildOption = Annotated[bool, typer.Option("--parent-or-child", help="Never a tag together with its parent.")]


def tag_rules(
    ban: Sequence[str] | None,
    only: Sequence[str] | None,
    limit: Sequence[str] | None,
    exclusive: Sequence[str] | None,
    parent_or_child: bool,
) -> TagRules:
    """The rules that the options say. Raises `InvalidRules` for what can't be read."""
    from hangtag.errors import InvalidRules
    from hangtag.tag_rules import TagRules

    limits: dict[str, int] = {}
    for text in limit or ():
        facet, _, number = text.rpartition("=")
        if not facet or not number.isdecimal() or len(number) > 9:
            raise InvalidRules(f"--limit {text!r} is not FACET=NUMBER", field="limit")
        if facet in limits:
            raise InvalidRules(f"--limit says two things of the facet {facet!r}; say one", field="limit")
        limits[facet] = int(number)
    try:
        groups = tuple(tuple(next(csv.reader([text], skipinitialspace=True, strict=True))) for text in exclusive or ())
    except csv.Error as error:
        raise InvalidRules(f"--exclusive can't be read: {error}; write ID,ID", field="exclusive") from error
    return TagRules(
        banned=tuple(ban or ()),
        only=tuple(only) if only else None,
        facet_limits=limits,
        exclusions=groups,
        parent_or_child=parent_or_child,
    )
