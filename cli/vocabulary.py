"""`hangtag vocabulary`: whether a vocabulary file can be used, and what is in it. It loads no model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check and show vocabularies.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A vocabulary: .csv, .tsv, .jsonl or .txt.")]


@app.command()
def check(file: FileArgument) -> None:
    """Say whether a vocabulary can be used: tags, languages and facets, or the first thing that is wrong and where."""
    from collections import Counter

    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.formats import read_vocabulary

    vocabulary = read_vocabulary(file)
    languages = Counter(language for tag in vocabulary for language in tag.labels)
    facets = Counter(tag.facet for tag in vocabulary if tag.facet)
    parents = sum(tag.parent is not None for tag in vocabulary)
    table = plain_table("", "")
    table.show_header = False
    table.add_row("tags", f"{len(vocabulary):,}" + (f", {parents:,} with a parent" if parents else ""))
    table.add_row("languages", ", ".join(f"{language} ({count:,})" for language, count in sorted(languages.items())))
    if facets:
        table.add_row("facets", Text(", ".join(f"{facet} ({count:,})" for facet, count in facets.most_common())))
    table.add_row("hash", vocabulary.hash)
    console = output()
    console.print(f"{file}: this vocabulary can be used", soft_wrap=True)
    print_table(console, table)
    for language in vocabulary.languages:
        missing = len(vocabulary) - languages[language]
        if missing:
            console.print(f"Note: {missing:,} tags have no label in {language}; another one stands in", style="yellow")


@app.command()
def show(
    file: FileArgument,
    facet: Annotated[str | None, typer.Option(help="Only tags of this facet.")] = None,
    find: Annotated[str | None, typer.Option(metavar="TEXT", help="Only tags with this in an id, a label or an alias.")] = None,
) -> None:
    """List the tags of a vocabulary."""
    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.errors import InvalidVocabulary
    from hangtag.formats import read_vocabulary
    from hangtag.text import fold

    vocabulary = read_vocabulary(file)
    facets = {tag.facet for tag in vocabulary}
    if facet is not None and facet not in facets:
        known = ", ".join(sorted(facets - {""})) or "it has none"
        raise InvalidVocabulary(f"{file}: no tag has the facet {facet!r}; facets: {known}", field="facet")
    wanted = fold(find or "")
    table = plain_table("id", *vocabulary.languages, "facet")
    for tag in vocabulary:
        aliases = [alias for group in tag.aliases.values() for alias in group]
        is_found = any(wanted in fold(text) for text in (tag.id, *tag.labels.values(), *aliases))
        if is_found and facet in (None, tag.facet):
            labels = [tag.labels.get(language, "") for language in vocabulary.languages]
            table.add_row(*map(Text, (tag.id, *labels, tag.facet)))
    console = output()
    if table.row_count:
        print_table(console, table)
    console.print(f"{table.row_count:,} of {len(vocabulary):,} tags")
