"""`hangtag finetune`: check a recipe, run it, export its bundle. It knows bars, tables and colours, and nothing of training."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.calibrate import calibrate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress, TaskID
    from rich.text import Text

    from finetune.config import Recipe
    from finetune.examples import Example
    from finetune.session import Prepared

app = typer.Typer(help="Tune a model on your own data.", no_args_is_help=True)
app.command()(calibrate)

INTERRUPTED = 130
SHOWN_TOKENS = 400
NEEDED = ("accelerate", "bitsandbytes", "matplotlib", "yaml")

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: YAML, such as finetune/recipes/smoke.yaml.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the recipe, said otherwise, such as lora.rank=8; may be repeated."),
]


@app.command()
def check(
    recipe: RecipeArgument,
    set_: SetOption = None,
    examples: Annotated[int, typer.Option(min=0, help="How many rows to show as the model sees them.")] = 3,
) -> None:
    """Show what a recipe would do: counts, examples, lengths, tags, memory and time. It trains nothing."""
    import tempfile

    from cli.console import messages

    given = read(recipe, set_)
    with messages().status("Loading the libraries"):
        from finetune.session import prepare_run
    with tempfile.TemporaryDirectory() as folder, Bars() as bars:
        prepared = prepare_run(given, Path(folder), bars, weights=False)
    _show_counts(given, prepared)
    _show_estimate(given, prepared)
    _show_examples(prepared, examples)


@app.command()
def run(
    recipe: RecipeArgument,
    set_: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, from its last checkpoint.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="The run's folder (else the recipe's `output`).")
    ] = None,
) -> None:
    """Train an adapter, judge it with the production decoder on the way, keep the best.

    Ctrl-C saves and stops; --resume goes on with the same batches. On several devices: accelerate launch -m cli finetune run
    RECIPE.
    """
    from cli.console import messages
    from cli.console import output as stdout

    given = read(recipe, set_)
    with messages().status("Loading the libraries"):
        from finetune.session import train_run
    folder = output or given.output
    with Bars() as bars:
        finished = train_run(given, folder, bars, resume=resume)
    if int(os.environ.get("RANK", "0")):
        return
    if not finished.is_whole:
        said = [word for each in set_ or () for word in ("--set", each)]
        said += ["--output", str(output)] if output else []
        again = shlex.join(["hangtag", "finetune", "run", str(recipe), *said, "--resume"])
        messages().print(f"Stopped; go on with: {again}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    best = ", ".join(f"{name} {value:.3f}" for name, value in finished.best.items() if name not in ("step", "-loss"))
    console = stdout()
    console.print(f"Best by {finished.metric} at step {finished.best['step']:.0f}: {best}", soft_wrap=True)
    console.print(f"Curves: {folder / 'curves.png'}", soft_wrap=True)
    console.print(f"Next: hangtag finetune export {folder} --output {given.name}", soft_wrap=True)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    output: Annotated[Path, typer.Option("--output", metavar="BUNDLE", help="The bundle's directory; it must not exist.")],
    merged: Annotated[
        bool, typer.Option("--merged/--adapter", help="The adapter in the base's weights, or beside the base.")
    ] = False,
    version: Annotated[str | None, typer.Option(help="Of the bundle (else the recipe's).")] = None,
) -> None:
    """Write the best adapter of a run as a bundle that serving accepts, with its figures and a model card."""
    from cli.console import messages
    from cli.console import output as stdout

    _quiet()
    with messages().status("Writing the bundle"):
        from finetune.export import export_run

        bundle = export_run(run, output, merged=merged, version=version)
    console = stdout()
    console.print(f"{bundle.model} in {output}", soft_wrap=True)
    console.print(f'Next: hangtag suggest --bundle {output} "..."; hangtag bundle diff OTHER {output}', soft_wrap=True)


@app.command()
def make(
    recipe: RecipeArgument,
    output: Annotated[Path, typer.Option("--output", metavar="BUNDLE", help="The bundle's directory; it must not exist.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The public sets; without them the model learns from synthetic rows only."),
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", metavar="DIR", help="Where what is half done lies (else the recipe's `output`).")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Make the bundled model from nothing: tokenizer, base weights, adapter, bundle, calibration.

    Said again after an interruption, it goes on where it was.

    Example: hangtag finetune make finetune/recipes/mini.yaml --data DIR --output hangtag-mini
    """
    import logging

    from cli.console import output as stdout

    _ready()
    from finetune.reading import read_mini

    given = read_mini(recipe, set_ or ())
    from finetune.making import make_bundle

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("finetune").setLevel(logging.INFO)
    bundle = make_bundle(given, data, output, work or given.output)
    stdout().print(f"{bundle.model} in {output}", soft_wrap=True)


def read(path: Path | None, overrides: Sequence[str] | None) -> Recipe:
    """The recipe in a file, None: smoke.yaml. Libraries that fine-tuning needs are there afterwards, and quiet."""
    _ready()
    from finetune.reading import RECIPES, read_recipe

    return read_recipe(path or RECIPES / "smoke.yaml", overrides or ())


def _ready() -> None:
    """Libraries that fine-tuning needs are there, and quiet."""
    from importlib.util import find_spec

    from hangtag.errors import InvalidSettings

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InvalidSettings(f"fine-tuning needs {', '.join(missing)}; install hangtag with the extra finetune")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait make a busy machine 20 times slower
    _quiet()


def _quiet() -> None:
    """What libraries chat is left out; their errors are raised."""
    import logging
    import warnings

    from transformers.utils import logging as transformers_logging

    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch|transformers|peft|accelerate|bitsandbytes")


class Bars:
    """Progress on stderr: a bar for each piece of work; sentences stay above."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        from cli.console import messages

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        is_main = int(os.environ.get("RANK", "0")) == 0
        self._progress: Progress = Progress(*columns, console=messages(), disable=not is_main)
        self._tasks: dict[str, TaskID] = {}
        self._is_main = is_main

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def begin(self, name: str, total: int) -> None:
        self._tasks[name] = self._progress.add_task(name, total=total, note="")

    def done(self, name: str, count: int, note: str = "") -> None:
        self._progress.update(self._tasks[name], completed=count, note=note)

    def say(self, text: str) -> None:
        if self._is_main:
            self._progress.console.print(text, soft_wrap=True)


def _show_counts(recipe: Recipe, prepared: Prepared) -> None:
    from collections import Counter

    import numpy as np
    from rich.text import Text

    from cli.console import output, plain_table, print_table

    data, console = prepared.data, output()
    lengths = np.array([example.length for example in prepared.train])
    cut = sum(example.is_cut for example in prepared.train)
    products = {row.product_id or row.listing.id for row in data.learn.test.rows}
    users = {row.user_id for row in data.learn.test.rows if row.user_id}
    counts = data.tag_counts
    asked = {tag for gold in data.held.gold for tag in gold}
    per_row = Counter(len(gold) for gold in data.learn.gold)
    dropped = sum(max(0, len(gold) - recipe.prompt.max_tags) for gold in data.learn.gold)
    percentiles = np.percentile(lengths, [50, 90, 99, 100], method="higher").astype(int)
    with_history = sum(bool(row.events) for row in data.learn.test.rows)
    explained = sum(bool(example.explanation) for example in prepared.train)
    rows = {
        "training rows": f"{len(prepared.train):,} of {len(products):,} products"
        + (f" and {len(users):,} users; {with_history:,} with earlier events" if users else ""),
        "validation rows": f"{len(data.held.gold):,}, of which {len(prepared.held):,} are judged",
        "tokens of a row": ", ".join(
            f"{name} {value:,}" for name, value in zip(("median", "p90", "p99", "longest"), percentiles, strict=True)
        ),
        "cut to fit": f"{cut:,} rows ({cut / len(lengths):.1%}) of {recipe.sequences.length:,} tokens",
        "tags of a row": ", ".join(f"{size}: {count:,}" for size, count in sorted(per_row.items())),
        "vocabulary": f"{len(counts):,} tags, {sum(count == 0 for count in counts):,} without a training row",
        "unseen in validation": f"{sum(counts[tag] == 0 for tag in asked):,} of {len(asked):,} tags there have no training row",
        "explanations": f"{explained:,} rows quote words that state a tag" if explained else "none: only tags are learned",
    }
    if recipe.method != "sft":
        rows["preferences"] = _preferences(recipe, prepared)
    if dropped:
        rows["tags left out"] = f"{dropped:,}: rows keep their first {recipe.prompt.max_tags}"
    table = plain_table("", "")
    table.show_header = False
    for name, value in rows.items():
        table.add_row(name, Text(value))
    print_table(console, table)
    for note in data.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True)


def _preferences(recipe: Recipe, prepared: Prepared) -> str:
    from finetune.pairs import graded, preferred

    if recipe.method == "dpo":
        return f"{len(preferred(prepared.train, prepared.data)):,} pairs of right tags and suggested ones"
    answers = graded(prepared.train, prepared.data)
    good = sum(answer["label"] for answer in answers)
    return f"{good:,} good answers, {len(answers) - good:,} bad ones"


def _show_estimate(recipe: Recipe, prepared: Prepared) -> None:
    from cli.console import output
    from finetune.estimate import estimate, work_of
    from finetune.model import check_adapter, skeleton

    if recipe.base.adapter is not None:
        check_adapter(recipe.base.adapter, prepared.files.directory)
    found = estimate(recipe, skeleton(prepared.files.directory), work_of(recipe, prepared.train, prepared.data))
    console, gib = output(), 2**30
    parts = ", ".join(f"{name} {size / gib:.2f}" for name, size in found.memory.items())
    console.print()
    console.print(f"Parameters: {found.parameters:,}, of which {found.trained:,} in the adapter are trained", soft_wrap=True)
    total, there = sum(found.memory.values()) / gib, found.available / gib
    console.print(f"Memory, roughly: {total:.1f} GiB of {there:.1f} free on {found.device} ({parts})", soft_wrap=True)
    minutes = found.seconds / 60
    console.print(f"Time, roughly: {minutes:.1f} minutes for {found.steps:,} steps, {found.tokens:,} tokens", soft_wrap=True)
    if not found.fits:
        advice = "lower batch.rows or sequences.length, or set checkpointing: true or quantisation: nf4"
        console.print(f"Note: this will hardly fit; {advice}", style="yellow", soft_wrap=True)


def _show_examples(prepared: Prepared, count: int) -> None:
    from cli.console import output

    console = output()
    for example in prepared.train[:count]:
        console.print()
        console.print(f"{prepared.data.learn.test.place(example.position)}", style="bold", soft_wrap=True)
        console.print(_coloured(example, prepared), soft_wrap=True)
    if count:
        console.print()
        console.print(_legend(), soft_wrap=True)


def _coloured(example: Example, prepared: Prepared) -> Text:
    """Prompt, what is learned and what is not, in three styles; without colours, what is learned stands in ⟦⟧."""
    from rich.text import Text

    tokenizer = prepared.kit.tokenizer
    ids, learned = example.answer_ids(example.tags)
    shown = Text()
    prompt = list(example.request.prompt)
    shown.append(tokenizer.transformers.decode(prompt[-SHOWN_TOKENS:]), style="dim")
    shown.append("⟦", style="green")
    shown.append(tokenizer.transformers.decode(ids[:learned]).replace("\n", "↵\n"), style="bold green")
    shown.append("⟧", style="green")
    shown.append(tokenizer.transformers.decode(ids[learned:]), style="red")
    return shown


def _legend() -> Text:
    from rich.text import Text

    return Text.assemble(("prompt", "dim"), "  ", ("⟦learned⟧", "bold green"), "  ", ("not learned", "red"))
