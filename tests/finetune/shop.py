"""A tiny shop's rows and the recipe over them, for tests of fine-tuning. It knows what it wrote, and no model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml

COLUMNS = ["sku", "name", "tags", "when", "shopper", "action"]
THINGS = {"headphones": "Audio", "shirt": "Wardrobe", "running shoes": "Walk", "linen": "Natural"}


def write_shop(path: Path, rows: int = 40) -> Path:
    """A CSV of `rows` products that users looked at, an hour after one another."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for number in range(rows):
            thing, tag = list(THINGS.items())[number % 4]
            tags = [tag, "Season pick"] if number % 3 == 0 else [tag]
            when = f"2026-03-{1 + number // 24:02}T{number % 24:02}:00:00"
            out.writerow([f"S{number}", f"Wireless {thing} {number}", "|".join(tags), when, f"u{number % 3}", "looked"])
    return path


def recipe_of(folder: Path, base: Path, **changes: Any) -> dict[str, Any]:
    """A recipe over shop.csv in `folder`, a few steps long; `changes` go over its keys."""
    mapped = {"product_id": "sku", "title": "name", "user_id": "shopper", "behaviour": "action", "at": "when"}
    file = {"path": "shop.csv", "columns": mapped, "behaviours": {"looked": "view"}, "zone": "UTC"}
    return {
        "name": "tiny-shop",
        "output": str(folder / "run"),
        "base": {"model": str(base)},
        "data": {"files": [file], "validation": {"share": 0.25}},
        "prompt": {"template": "mini", "explanation": "none", "context": 512},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "precision": "fp32",
        "sequences": {"length": 256},
        "batch": {"rows": 4},
        "schedule": {"steps": 6, "learning_rate": 0.01},
        "evaluation": {"every": 0.5, "rows": 4},
        **changes,
    }


def write_recipe(folder: Path, base: Path, **changes: Any) -> Path:
    """shop.csv and recipe.yaml in `folder`."""
    if not (folder / "shop.csv").exists():
        write_shop(folder / "shop.csv")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_of(folder, base, **changes), sort_keys=False), encoding="utf-8")
    return path


def feedback_object(number: int) -> dict[str, Any]:
    """What a merchant said of a suggestion for product `number`: every third one is all wrong, the others half right."""
    said: dict[str, Any] = {"id": f"f{number}", "product_id": f"S{number}", "title": f"Walking shoes {number}"}
    if number % 3 == 2:
        return said | {"suggested": ["Season pick"], "accepted": [], "rejected": ["Season pick"], "added": []}
    return said | {"suggested": ["Audio", "Walk"], "accepted": ["Walk"], "rejected": ["Audio"], "added": ["Natural"]}


def write_feedback_file(path: Path, rows: int = 24) -> Path:
    """JSONL of feedback on `rows` products."""
    path.write_text("".join(json.dumps(feedback_object(number)) + "\n" for number in range(rows)), encoding="utf-8")
    return path


class Silent:
    """A watch that remembers sentences."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, name: str, total: int) -> None:
        pass

    def done(self, name: str, count: int, note: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)


class Crashing(Silent):
    """A watch under which the process dies after a step, as far as a test can let it die."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def done(self, name: str, count: int, note: str = "") -> None:
        if name == "Steps" and count == self.step:
            raise KeyboardInterrupt
