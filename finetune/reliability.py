"""The reliability diagram as a picture: how sure suggestions were against the share of them that was right. It knows numbers and
matplotlib, and nothing of where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval.calibration import reliability
from hangtag.calibration import Flags, Floats

SIZE, DPI = (5.2, 5.0), 150
SMALLEST, LARGEST = 12.0, 90.0
"""Areas of the dots, in points²: by how many suggestions a bin has."""


def draw_reliability(confidences: Mapping[str, Floats], right: Flags, file: Path, title: str = "") -> None:
    """A curve for each of several confidences of the same suggestions, all (tags,), in bins of equal mass; written as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--", zorder=0)
    for name, each in confidences.items():
        bins = reliability(each, right)
        most = max(found.count for found in bins)
        areas = [SMALLEST + (LARGEST - SMALLEST) * found.count / most for found in bins]
        x, y = [found.confidence for found in bins], [found.right for found in bins]
        (line,) = axes.plot(x, y, linewidth=1, label=name)
        axes.scatter(x, y, s=areas, color=line.get_color(), alpha=0.8, linewidths=0)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=title)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=DPI)
