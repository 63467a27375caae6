"""`hangtag eval run`: every system on the same rows, with progress, resumed where it was interrupted. It knows files, bars and
the order of the steps; figures and pages are made by `eval`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import BundleOption, EncoderOption, VocabularyOption

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from eval.corpus import Corpus
    from eval.report import Report
    from eval.rows import RowFile
    from eval.systems import SystemRun
    from serve.settings import Settings
    from serve.suggester import Suggester

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go; made if it is missing.")]


def run(
    test: Annotated[Path, typer.Option(metavar="FILE", help="Rows: JSONL with id, title, ..., tags.")],
    out: OutOption,
    train: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows that baselines learn from; tags are the labels of both files.")
    ] = None,
    vocabulary: VocabularyOption = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    memory: Annotated[bool, typer.Option("--memory", help="Remember the training rows and use them, as serving does.")] = False,
    baselines: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="popularity,tfidf,logistic,omikuji,alias or none; all of them, if not said."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=50, help="Tags of each answer, and the k of the metrics.")] = 5,
    at_most: Annotated[bool, typer.Option("--at-most", help="Let the model stop before k tags; baselines give k.")] = False,
    no_explanation: Annotated[bool, typer.Option("--no-explanation", help="Tags only: faster, and nothing is quoted.")] = False,
    known_tags: Annotated[
        bool,
        typer.Option(
            "--known-tags", help="Leave out tags that the vocabulary lacks, and rows without any other; both are counted."
        ),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are wrong, and say which, instead of stopping.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many test rows, drawn by a hash of their ids.")] = None,
) -> None:
    """Suggest tags for every row, beside what people would use instead: report.json, report.html and predictions*.jsonl.

    Run again, it goes on where it was interrupted."""
    import asyncio

    from eval.rows import read_file
    from serve.settings import read_settings

    begun = time.monotonic()
    names = _baselines(baselines, train)
    if memory and train is None:
        from hangtag.errors import InvalidInput

        raise InvalidInput("--memory remembers training rows; give --train", field="memory")
    training = None if train is None else read_file(train, skip_bad=skip_bad)
    rows = read_file(test, skip_bad=skip_bad)
    settings = read_settings(bundle=bundle, vocabulary=vocabulary, encoder=encoder)
    corpus = _corpus(settings, training, rows, vocabulary is None, skip_bad, known_tags).limited(limit)
    out.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"k": k, "at_most": at_most, "explain": not no_explanation}
    asyncio.run(_run(settings, corpus, out, names, memory, skip_bad, options, begun))


def _baselines(given: str | None, train: Path | None) -> list[str]:
    """The names, each known; all of them where there are training rows and none were said."""
    from eval.baselines import NAMES
    from hangtag.errors import InvalidInput

    if given is None:
        return list(NAMES) if train is not None else []
    names = [name.strip() for name in given.split(",") if name.strip() not in ("", "none")]
    for name in names:
        if name not in NAMES:
            raise InvalidInput(f"unknown baseline {name!r}; use {', '.join(NAMES)}, or none", field="baselines")
    if names and train is None:
        raise InvalidInput("baselines learn from training rows; give --train", field="baselines")
    return list(dict.fromkeys(names))


def _corpus(settings: Settings, train: RowFile | None, test: RowFile, labels: bool, skip_bad: bool, known_tags: bool) -> Corpus:
    """Over the labels of both files if there is a training file and `labels`; else over the settings' vocabulary."""
    from eval.corpus import prepare
    from hangtag.bundle import Bundle
    from hangtag.formats import read_vocabulary

    vocabulary = None
    if train is None or not labels:
        own = settings.vocabulary is None
        vocabulary = Bundle.load(settings.bundle).vocabulary if own else read_vocabulary(settings.vocabulary or Path())
    return prepare(train, test, vocabulary, skip_bad=skip_bad, known_tags=known_tags)


async def _run(
    settings: Settings,
    corpus: Corpus,
    out: Path,
    baselines: list[str],
    memory: bool,
    skip_bad: bool,
    options: dict[str, Any],
    begun: float,
) -> None:
    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    from cli.console import load_suggester, messages
    from eval.compare import VOCABULARY, keep_for_comparison
    from eval.page import write_page
    from eval.provenance import provenance
    from eval.report import make_report, write_report
    from eval.systems import candidates_alone, run_baseline

    keep_for_comparison(corpus, out)
    # not the memory of the environment: it may know the test rows
    suggester = load_suggester(settings.model_copy(update={"vocabulary": out / VOCABULARY, "memory": None}))
    columns = (*Progress.get_default_columns()[:2], TimeElapsedColumn(), TimeRemainingColumn())
    k = options["k"]
    try:
        with Progress(*columns, console=messages()) as bars:
            remembered = _remember(suggester, corpus, out, bars) if memory else None
            model, corpus = await _ask(suggester, corpus, out, skip_bad, options, bars)
    finally:
        await suggester.engine.close()
    runs = [model, candidates_alone(corpus, model.predictions, k, out)]
    with Progress(*columns, console=messages()) as bars:
        for name in baselines:
            bar = bars.add_task(name, total=1.0)
            runs.append(run_baseline(name, corpus, k, out, partial(_tick, bars, bar)))
            bars.update(bar, completed=1.0)
        bar = bars.add_task("Figures", total=None)
        used = {"encoder": settings.encoder or "none", "memory": remembered or "none"}
        about = provenance(corpus, suggester.bundle, used, options, seconds=time.monotonic() - begun)
        report = make_report(corpus, runs, k=k, about=about)
        bars.update(bar, total=1, completed=1)
    write_report(report, out)
    write_page(report, corpus, runs, out / "report.html")
    _skipped(corpus, out / "skipped.jsonl")
    _show(report, corpus, out)


async def _ask(
    suggester: Suggester, corpus: Corpus, out: Path, skip_bad: bool, options: dict[str, Any], bars: Progress
) -> tuple[SystemRun, Corpus]:
    """The model's predictions, and the corpus without rows that could not be asked."""
    from eval.predictions import Prediction, append_predictions, read_predictions
    from eval.run import make_questions, predict
    from eval.systems import MODEL, SystemRun, predictions_file, spent
    from hangtag.errors import InvalidData

    file = predictions_file(out, MODEL)
    questions = make_questions(corpus, suggester, **options)
    known = read_predictions(file)
    answered = {question.position: known[question.key] for question in questions if question.key in known}
    earlier, refused = len(answered), {}
    bar = bars.add_task("Suggesting", total=len(questions), completed=earlier)
    begun = time.monotonic()
    try:
        async for question, answer in predict(suggester, [question for question in questions if question.key not in known]):
            if isinstance(answer, Prediction):
                append_predictions([answer], file)
                answered[question.position] = answer
            elif skip_bad:
                refused[question.position] = str(answer)
            else:
                place = corpus.test.place(question.position)
                raise InvalidData(f"{place}: row {question.id!r}: {answer}", field=answer.field) from answer
            bars.advance(bar)
    finally:
        seconds = spent(out, questions[0].key, time.monotonic() - begun)
    if refused:
        corpus = corpus.refusing(refused)
    return SystemRun(MODEL, [answered[position] for position in sorted(answered)], seconds, earlier), corpus


def _tick(bars: Progress, bar: TaskID, share: float) -> None:
    bars.update(bar, completed=share)


def _remember(suggester: Suggester, corpus: Corpus, out: Path, bars: Progress) -> dict[str, Any]:
    """Give the suggester a memory of the training rows; what the report says of it."""
    from eval.remember import remember

    bar = bars.add_task("Remembering", total=1.0)
    remembered = remember(corpus, suggester.candidates, out, partial(_tick, bars, bar))
    bars.update(bar, completed=1.0)
    suggester.memory = remembered.memory
    return {"listings": len(remembered.memory), "hash": remembered.hash, "seconds": remembered.seconds}


def _skipped(corpus: Corpus, file: Path) -> None:
    """Every line that was left out, and why."""
    import json
    from dataclasses import asdict

    file.unlink(missing_ok=True)
    if corpus.skipped:
        lines = (json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in corpus.skipped)
        file.write_text("".join(lines), encoding="utf-8")


def _show(report: Report, corpus: Corpus, out: Path) -> None:
    from cli.console import output, plain_table, print_table
    from eval.report import interval_of

    systems: dict[str, Any] = report["systems"]
    wanted = dict.fromkeys(("P@1", *(f"{name}@{report['k']}" for name in ("P", "R", "nDCG", "PSP")), "micro-F1", "ECE"))
    columns = [name for name in wanted if any(name in system["all"] for system in systems.values())]
    table = plain_table("system", *columns, "seconds")
    for name, system in systems.items():
        cells = (interval_of(system["all"][each]) if each in system["all"] else None for each in columns)
        texts = (f"{each.value:.3f} ±{(each.high - each.low) / 2:.3f}" if each else "" for each in cells)
        table.add_row(name, *texts, f"{system['seconds']:.1f}")
    console = output()
    print_table(console, table)
    for name, system in systems.items():
        if "auto" in system:
            auto = system["auto"]
            console.print(f"{name}: {auto['share']:.1%} of the tags have `auto`, {auto['precision']:.1%} of these are right")
    for name, parts in report["differences"].items():
        found = ((each, interval_of(parts["all"][each])) for each in columns if each in parts["all"] and each != "ECE")
        real = [f"{each} {difference.value:+.3f}" for each, difference in found if difference.is_real]
        console.print(f"{name}: {', '.join(real) or 'no real difference'}", soft_wrap=True)
    for note in report["notes"]:
        console.print(f"Note: {note}", soft_wrap=True)
    if corpus.skipped:
        first = corpus.skipped[0]
        said = f"Skipped {len(corpus.skipped):,} lines, the first {first.file}: line {first.line}: {first.reason}"
        console.print(f"{said}; all are in {out / 'skipped.jsonl'}", soft_wrap=True)
    rows = f"{report['rows']['test']:,} rows, {report['rows']['labels']:,} labels"
    console.print(f"{rows}; report.html, report.json and predictions are in {out}", soft_wrap=True)
