"""`hangtag finetune calibrate`: from rows with known tags to confidences that mean something. It knows files, a bar and a
table, and not how confidence comes about.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import EncoderOption, MemoryOption, VocabularyOption

if TYPE_CHECKING:
    from eval.corpus import Corpus
    from finetune.calibrate import Asked, Calibrated
    from hangtag.bundle import Bundle
    from hangtag.calibration import Calibration
    from serve.settings import Settings
    from serve.suggester import Suggester


def calibrate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory; its calibration is written there.")],
    rows: Annotated[
        list[Path],
        typer.Option("--rows", metavar="FILE", help="Rows that nothing was trained on: JSONL with id, title, ..., tags."),
    ],
    vocabulary: VocabularyOption = None,
    memory: MemoryOption = None,
    unseen: Annotated[
        bool,
        typer.Option("--unseen", help="For vocabularies without a calibration: two --rows or more, each with its own labels."),
    ] = False,
    promise: Annotated[
        float | None, typer.Option(min=0.01, max=0.999, help="The precision of the tags with `auto` (else 0.9).")
    ] = None,
    max_tags: Annotated[int, typer.Option("--max-tags", min=1, max=50, help="Of an answer.")] = 5,
    exactly: Annotated[bool, typer.Option("--exactly", help="Ask for exactly --max-tags tags, not for up to so many.")] = False,
    partly: Annotated[
        bool, typer.Option("--partly", help="The rows label some facets only: tags of others than a row has are not judged.")
    ] = False,
    no_explanation: Annotated[bool, typer.Option("--no-explanation", help="Ask for tags only: faster.")] = False,
    limit: Annotated[int, typer.Option(min=20, help="Rows of a file that are asked, drawn by a hash of their ids.")] = 2_000,
    known_tags: Annotated[
        bool, typer.Option("--known-tags", help="Leave out tags that the vocabulary lacks, and rows without any other.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that are wrong.")] = False,
    encoder: EncoderOption = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw confidence against the share that is right.")] = None,
) -> None:
    """Make confidences the probability that a tag is accepted, and find which tags keep a promised precision.

    The rows are asked through the production decoder. Every figure is of rows (or vocabularies) that its curve was fitted
    without. Servers read a bundle when they start.

    Example: hangtag finetune calibrate smoke-1 --rows runs/smoke/validation.jsonl
    """
    import asyncio
    from importlib.util import find_spec

    from eval.rows import read_file
    from finetune.calibrate import calibrate, check_enough, corpus_over, keep
    from hangtag.bundle import Bundle
    from hangtag.calibration import PRECISION
    from hangtag.errors import InvalidInput, InvalidSettings
    from hangtag.formats import read_vocabulary
    from serve.settings import read_settings

    if plot is not None and find_spec("matplotlib") is None:
        raise InvalidSettings("--plot needs matplotlib; install hangtag with the extra finetune, or leave --plot out")
    if plot is not None and not plot.absolute().parent.is_dir():
        raise InvalidInput(f"{plot.parent}: there is no such directory; make it, or give another --plot", field="plot")
    if unseen and (vocabulary is not None or memory is not None):
        raise InvalidInput("--unseen is for vocabularies nobody knows; leave --vocabulary and --memory out", field="unseen")
    if not unseen and len(rows) > 1:
        raise InvalidInput("one file of --rows is enough for one vocabulary; with --unseen there may be more", field="rows")
    settings = read_settings(bundle=bundle, vocabulary=vocabulary, memory=memory, encoder=encoder)
    if unseen:
        settings = settings.model_copy(update={"vocabulary": None, "memory": None})
    own = Bundle.load(bundle).vocabulary
    known = own if settings.vocabulary is None else read_vocabulary(settings.vocabulary)
    corpora = [
        corpus_over(
            read_file(file, skip_bad=skip_bad), None if unseen else known, skip_bad=skip_bad, known_tags=known_tags
        ).limited(limit)
        for file in rows
    ]
    check_enough([len(corpus.gold) for corpus in corpora], unseen=unseen)
    options = {"k": max_tags, "exactly": exactly, "explain": not no_explanation, "partly": partly}
    asked = asyncio.run(_ask(settings, corpora, **options))
    precision = PRECISION if promise is None else promise
    done = calibrate(asked, precision, unseen=unseen)
    if plot is not None:
        from finetune.reliability import draw_reliability

        draw_reliability({"before": done.before, "calibrated, held out": done.held_out}, done.right, plot)
    after = keep(bundle, done, None if unseen else corpora[0].vocabulary.hash, memory=settings.memory is not None)
    _show(done, after, corpora, precision, unseen)


async def _ask(settings: Settings, corpora: list[Corpus], **options: Any) -> list[Asked]:
    from functools import partial

    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    from cli.console import load_suggester, messages
    from finetune.calibrate import Tick, ask_corpora

    bars = Progress(*Progress.get_default_columns()[:2], TimeElapsedColumn(), TimeRemainingColumn(), console=messages())

    def load(file: Path) -> Suggester:
        bars.stop()  # loading shows progress of its own
        return load_suggester(settings.model_copy(update={"vocabulary": file}))

    def begin(corpus: Corpus) -> Tick:
        bars.start()
        return partial(bars.advance, bars.add_task(f"Suggesting ({corpus.test.path.name})", total=len(corpus.gold)))

    try:
        return await ask_corpora(corpora, load, begin, **options)
    finally:
        bars.stop()


def _show(done: Calibrated, after: Bundle, corpora: list[Corpus], precision: float, unseen: bool) -> None:
    from cli.console import output, plain_table, print_table

    console, curve, figures = output(), done.curve, done.curve.figures
    table = plain_table("", "before", "calibrated")
    for name in ("ECE", "log loss"):
        now = figures["ECE"] if name == "ECE" else figures[f"log loss, {curve.method}"]
        table.add_row(name, f"{figures[f'{name}, before']:.4f}", f"{now:.4f}")
    print_table(console, table)
    labels = sum(len(corpus.vocabulary) for corpus in corpora)
    asked = f"{curve.rows:,} rows, {labels:,} labels, {len(done.right):,} suggested tags, {done.right.mean():.1%} of them right"
    console.print(f"{asked}; {curve.method} curve", soft_wrap=True)
    if unseen:
        console.print("Nothing is promised for vocabularies nobody knows; calibrate with rows of one.", soft_wrap=True)
    else:
        console.print(promise_line(curve, precision), soft_wrap=True)
    console.print(f"{after.model} is calibrated; its hash is now {after.hash[:12]}…", soft_wrap=True)


def promise_line(curve: Calibration, precision: float) -> str:
    """What a curve says of a precision that was to be promised."""
    kept = curve.promise
    if kept is None:
        return f"Promise {precision:g}: no threshold keeps it on these rows; no tag gets `auto`."
    passed = f"{kept.share:.1%} of the suggested tags pass, {kept.kept:.1%} of these were right"
    return f"Promise {kept.precision:g}: from a confidence of {kept.threshold:.2f} on; {passed}"
