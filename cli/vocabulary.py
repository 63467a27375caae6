"""`hangtag vocabulary`: whether a vocabulary file can be used, what is in it, and its compiled form. It loads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BundleOption

app = typer.Typer(help="Check, show and compile vocabularies.", no_args_is_help=True)

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


@app.command("compile")
def compile_(
    file: FileArgument,
    bundle: BundleOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the files go (else $HANGTAG_VOCABULARY_DIR).")
    ] = None,
) -> None:
    """Write a vocabulary as token ids, a file a language, so that servers need not make them at every start.

    Files are named by a hash over vocabulary, language and tokenizer.

    Example: hangtag vocabulary compile tags.csv --output compiled
    """
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from cli.console import messages, plain_table, print_table
    from cli.console import output as stdout
    from hangtag.bundle import Bundle
    from hangtag.errors import InvalidSettings
    from hangtag.formats import read_vocabulary
    from serve.settings import read_settings

    settings = read_settings(bundle=bundle, vocabulary_dir=output)
    directory = settings.vocabulary_dir
    if directory is None:
        raise InvalidSettings("nobody said where the files go; give --output DIR, or set HANGTAG_VOCABULARY_DIR", field="output")
    if directory.exists() and not directory.is_dir():
        raise InvalidSettings(f"{directory} is a file; give a directory", field="output")
    vocabulary = read_vocabulary(file)
    loaded = Bundle.load(settings.bundle)

    from serve.compiling import compile_all, shared_languages
    from serve.tokenizer import load_tokenizer

    screen = messages()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        tasks = {
            language: bar.add_task(f"Tokenising ({language})", total=len(vocabulary))
            for language in shared_languages(loaded, vocabulary)
        }
        tokenizer = load_tokenizer(loaded)
        made = compile_all(loaded, vocabulary, tokenizer, lambda language, done: bar.update(tasks[language], completed=done))
    table = plain_table("language", "tags", "nodes", "bytes a tag", "seconds", "hash")
    for one in made:  # none is written before all are made
        compiled, trie = one.vocabulary, one.vocabulary.trie
        compiled.save(directory)
        size = f"{trie.nbytes / len(trie):.1f}"
        table.add_row(compiled.language, f"{len(trie):,}", f"{len(trie.ends):,}", size, f"{one.seconds:.2f}", compiled.hash)
    console = stdout()
    print_table(console, table)
    console.print(f"Written to {directory}, each as its hash with .npz", soft_wrap=True)
