"""`hangtag bundle`: what a bundle is made of and in what two differ, after their hashes were checked. It loads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hangtag.bundle import Bundle

app = typer.Typer(help="Look into bundles.", no_args_is_help=True)

TAGS_SHOWN = 10


@app.command()
def show(directory: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle's directory.")]) -> None:
    """Check a bundle's hashes and show what it is made of."""
    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.bundle import Bundle

    bundle = Bundle.load(directory)
    vocabulary = bundle.vocabulary
    weights = bundle.weights
    rows = {
        "model": bundle.model,
        "base": str(bundle.base.name) if bundle.base else f"{bundle.hub} at {bundle.revision} (hub)",
        "adapter": bundle.adapter.name if bundle.adapter else "none",
        "prompt": bundle.prompt_file.name,
        "vocabulary": f"{bundle.vocabulary_file.name}: {len(vocabulary):,} tags, hash {vocabulary.hash[:12]}…",
        "languages": ", ".join(bundle.languages),
        "context": f"{bundle.context:,} tokens",
        "weights": f"candidates {weights.own_candidates:g} (own tags, {weights.own_stated:g} more nats if stated),"
        f" {weights.other_candidates:g} (other tags);"
        f" interests {weights.interests:g}; evidence {weights.evidence:g}",
        "calibration": "; ".join(_curves(bundle).values()) or "none: confidence compares, no more",
    }
    table = plain_table("", "")
    table.show_header = False
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console = output()
    print_table(console, table)
    console.print("All hashes match.")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A bundle's directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The bundle to compare with.")],
) -> None:
    """Check two bundles and show in what they differ: parts by hash, settings, tags, figures, lines of the prompt."""
    from difflib import unified_diff

    from rich.text import Text

    from cli.console import output, plain_table, print_table
    from hangtag.bundle import Bundle

    before, after = Bundle.load(first), Bundle.load(second)
    console = output()
    left, right = _parts(before), _parts(after)
    table = plain_table("", "A", "B")
    for name in dict.fromkeys([*left, *right]):
        if left.get(name) != right.get(name):
            table.add_row(name, Text(left.get(name, "none")), Text(right.get(name, "none")))
    if not table.row_count:
        console.print("The bundles are equal.")
        return
    print_table(console, table)
    for line in _tag_changes(before, after):
        console.print(line, soft_wrap=True)
    old, new = (bundle.prompt_file.read_text(encoding="utf-8").splitlines() for bundle in (before, after))
    for line in unified_diff(old, new, "A/prompt", "B/prompt", lineterm=""):
        console.print(line, soft_wrap=True)


def _parts(bundle: Bundle) -> dict[str, str]:
    """Everything of a bundle that can differ, as short texts."""
    import json
    from dataclasses import asdict

    from hangtag.bundle import hash_path

    paths = {"base": bundle.base, "adapter": bundle.adapter, "prompt": bundle.prompt_file}
    parts = {"name": bundle.name, "version": bundle.version}
    parts |= {name: f"{hash_path(path)[:12]}…" for name, path in paths.items() if path is not None}
    if bundle.hub is not None:
        parts["base"] = f"{bundle.hub} at {bundle.revision}"
    parts["vocabulary"] = f"{len(bundle.vocabulary):,} tags, {bundle.vocabulary.hash[:12]}…"
    parts |= {"languages": ", ".join(bundle.languages), "context": f"{bundle.context:,} tokens"}
    parts |= {f"calibration, {name}": said.partition(": ")[2] for name, said in _curves(bundle).items()}
    parts |= {f"weights.{name}": f"{value:g}" for name, value in asdict(bundle.weights).items()}
    try:  # no component: a note of how it was made
        best = json.loads((bundle.directory / "metrics.json").read_text(encoding="utf-8"))["best"]
        parts |= {f"validation {name}": f"{value:.4f}" for name, value in best.items() if name not in ("step", "-loss")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return parts


def _curves(bundle: Bundle) -> dict[str, str]:
    """What each calibration is for -> the same and what it was worth."""
    from hangtag.calibration import ANY, MEMORY

    found = {}
    for (vocabulary, evidence), curve in sorted(bundle.calibrations.curves.items()):
        named = {ANY: "any other tags", bundle.vocabulary.hash: "own tags"}.get(vocabulary, f"tags {vocabulary[:12]}…")
        name = f"{named} with a memory" if evidence == MEMORY else named
        error = f", ECE {curve.figures['ECE']:.3f}" if "ECE" in curve.figures else ""
        kept = curve.promise
        promised = f", promise {kept.precision:g} from {kept.threshold:.2f} on ({kept.share:.0%} pass)" if kept else ""
        found[name] = f"{name}: {curve.method}, {curve.rows:,} rows{error}{promised}"
    return found


def _tag_changes(before: Bundle, after: Bundle) -> list[str]:
    left, right = ({tag.id: tag for tag in bundle.vocabulary} for bundle in (before, after))
    changed = [id for id in left.keys() & right.keys() if left[id] != right[id]]
    found = {"only in A": left.keys() - right.keys(), "only in B": right.keys() - left.keys(), "changed": changed}
    return [
        f"Tags {name}: {len(ids):,} ({', '.join(sorted(ids)[:TAGS_SHOWN])}{', …' if len(ids) > TAGS_SHOWN else ''})"
        for name, ids in found.items()
        if ids
    ]
