"""`hangtag suggest`: tags for one listing. It knows options and two ways to show an answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import BundleOption, EncoderOption, MemoryOption, MinConfidenceOption, VocabularyOption
from cli.rules import BanOption, ExclusiveOption, LimitOption, OnlyOption, ParentOrChildOption, tag_rules

if TYPE_CHECKING:
    from hangtag.suggestion import Suggestion
    from serve.settings import Settings
    from serve.suggester import SuggestionRequest


def suggest(
    text: Annotated[str | None, typer.Argument(help="The title; short for --title.", show_default=False)] = None,
    title: Annotated[str | None, typer.Option(help="The listing's title.")] = None,
    description: Annotated[str, typer.Option(help="Its description.", show_default=False)] = "",
    attribute: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="An attribute; may be repeated.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the answer, such as en or zh (else as the text looks).")] = None,
    min_tags: Annotated[int, typer.Option(help="At least so many tags.")] = 1,
    max_tags: Annotated[int | None, typer.Option(help="At most so many (else five).")] = None,
    min_confidence: MinConfidenceOption = None,
    explanation: Annotated[bool, typer.Option("--explanation/--no-explanation", help="Whether to say why.")] = True,
    history: Annotated[Path | None, typer.Option(metavar="FILE", help="What the user did: JSONL with type, at, tags.")] = None,
    ban: BanOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    exclusive: ExclusiveOption = None,
    parent_or_child: ParentOrChildOption = False,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    memory: MemoryOption = None,
    format: Annotated[Literal["text", "json"], typer.Option(help="For people or for programs.")] = "text",
) -> None:
    """Suggest tags for a listing, and say why.

    Example: hangtag suggest "高品质蓝牙耳机，降噪效果显著"
    """
    import asyncio

    from hangtag.errors import InvalidListing
    from hangtag.listing import Listing
    from serve.settings import read_settings

    if text is not None and title is not None:
        raise InvalidListing("the title is given twice, as TEXT and with --title; give it once", field="title")
    listing = Listing(
        title=text or title or "", description=description, attributes=tuple(map(_pair, attribute or ())), language=language
    )
    settings = read_settings(bundle=bundle, vocabulary=vocabulary, encoder=encoder, memory=memory)

    from serve.suggester import SuggestionRequest

    rules = tag_rules(ban, only, limit, exclusive, parent_or_child)
    request = SuggestionRequest(
        listing, min_tags=min_tags, max_tags=max_tags, explain=explanation, rules=rules, min_confidence=min_confidence
    )
    suggestion = asyncio.run(_answer(settings, request, history))
    if format == "json":
        _show_json(suggestion)
    else:
        _show_text(suggestion)


def _pair(attribute: str) -> tuple[str, str]:
    from hangtag.errors import InvalidListing

    name, equals, value = attribute.partition("=")
    if not equals:
        raise InvalidListing(f"--attribute {attribute!r} has no '='; write NAME=VALUE", field="attribute")
    return name, value


async def _answer(settings: Settings, request: SuggestionRequest, history: Path | None) -> Suggestion:
    from dataclasses import replace
    from datetime import UTC, datetime

    from cli.console import load_suggester
    from hangtag.history import InterestProfile
    from hangtag.history_formats import read_history

    suggester = load_suggester(settings)
    try:
        if history is not None:
            events = read_history(history, suggester.vocabulary)
            profile = InterestProfile.from_events(events, suggester.vocabulary, now=datetime.now(UTC))
            request = replace(request, profile=profile)
        return await suggester.suggest(request)
    finally:
        await suggester.engine.close()


def _show_json(suggestion: Suggestion) -> None:
    import json

    from serve.schemas import AnswerBody

    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    typer.echo(json.dumps(AnswerBody.of(suggestion).model_dump(), ensure_ascii=not unicode, indent=2))


def _show_text(suggestion: Suggestion) -> None:
    from rich.text import Text

    from cli.console import output, plain_table, print_table

    console = output()
    promised = ("Auto",) if suggestion.promise is not None else ()
    table = plain_table("Tag", "Confidence", *promised, "Facet")
    table.columns[1].justify = "right"
    for found in suggestion.tags:
        auto = ("yes" if found.auto else "",) if promised else ()
        table.add_row(Text(found.label, style="bold cyan"), f"{found.confidence:.0%}", *auto, Text(found.tag.facet, style="dim"))
    if suggestion.tags:
        print_table(console, table)
    else:
        console.print("No tag fits.")
    if suggestion.explanation:
        console.print()
        console.print(suggestion.explanation)
    if suggestion.promise is not None:
        console.print()
        console.print(f"Auto: of such tags at least {suggestion.promise:.0%} are right, as promised.", style="dim")
    elif suggestion.tags and not suggestion.is_calibrated:
        console.print()
        console.print("Confidence is not calibrated: it compares tags of one answer, no more.", style="dim")
    for notice in suggestion.notices:
        console.print()
        console.print(f"Note: {notice}", style="yellow")
