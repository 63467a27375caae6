"""Curves of a run: losses and figures by step, as JSON and as a picture. It knows the trainer's log, and
nothing of how it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hangtag.files import save_json

JSON, PNG = "curves.json", "curves.png"
DRAWN = ("P@1", "micro-F1", "nDCG")
SIZE, DPI = (9.0, 3.6), 150


def write_curves(folder: Path, log: Iterable[Mapping[str, Any]]) -> None:
    """curves.json and curves.png in `folder`."""
    entries = list(log)
    loss = [{"step": e["step"], "loss": e["loss"], "learning_rate": e["learning_rate"]} for e in entries if "loss" in e]
    evaluations = [
        {"step": e["step"], **{name.removeprefix("eval_"): value for name, value in e.items() if name.startswith("eval_")}}
        for e in entries
        if "eval_loss" in e
    ]
    save_json({"loss": loss, "evaluations": evaluations}, folder / JSON)
    _draw(folder / PNG, loss, evaluations)


def _draw(path: Path, loss: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [each["step"] for each in evaluations]
    left.plot([each["step"] for each in loss], [each["loss"] for each in loss], label="training", linewidth=1)
    left.plot(steps, [each["loss"] for each in evaluations], label="validation", marker="o")
    left.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, None))
    for name in evaluations[0] if evaluations else ():
        if name.startswith(DRAWN):
            right.plot(steps, [each[name] for each in evaluations], label=name, marker="o")
    right.set(xlabel="step", ylim=(0, 1), title="validation rows, as served")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
    figure.savefig(path, dpi=DPI)
