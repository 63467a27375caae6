"""A small shop for trying recipes out: synthetic listings with tags in the shop's own words, which no model has seen. It knows
the starter vocabulary and writes a CSV with columns named as shops name them.

    python -m finetune.samples finetune/recipes/shop.csv
"""

from __future__ import annotations

import argparse
import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

from finetune.synthesize import LANGUAGES, Example, Synthesizer, read_domains
from hangtag.formats import read_vocabulary

SHELVES = {
    "fashion": "Wardrobe", "home": "Nest", "content": "Journal", "beauty": "Vanity", "bags": "Carry", "electronics": "Gadgets",
    "food": "Pantry", "shoes": "Walk", "baby": "Little ones", "kitchen": "Cook's corner", "health": "Feel good",
    "furniture": "Big pieces", "toys": "Playroom", "outdoors": "Out there", "sports": "Move", "appliances": "Plugged in",
    "jewellery": "Sparkle", "computing": "Desk setup", "auto": "Garage", "pets": "Four paws", "tools": "Workbench",
    "office": "Desk setup", "art": "Studio", "travel": "On the road", "garden": "Green thumb", "books": "Reading nook",
    "music": "Studio",
}  # fmt: skip
"""Domain of a category -> where this shop puts it."""

SIDES = {"season": "Season pick", "occasion": "Gift guide", "colour": "By colour", "style": "Lookbook", "material": "Made of"}
"""Facet -> what this shop calls listings that say something of it."""

ROWS, USERS, SEED = 1_250, 120, 41
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def shop_tags(example: Example, domains: dict[str, tuple[str, ...]]) -> list[str]:
    """The example's tags in the shop's words, each once, shelves first."""
    shelves = [SHELVES[domain] for tag in example.tags for domain in domains.get(tag, ())[:1] if domain in SHELVES]
    sides = [SIDES[facet] for tag in example.tags if (facet := tag.split("/")[0]) in SIDES]
    return list(dict.fromkeys(shelves[:1] + sides))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--vocabulary", type=Path, default=Path("models/hangtag-mini/vocabulary.csv"))
    options = parser.parse_args()
    domains = read_domains(Path(__file__).parent / "domains.csv")
    synthesizer = Synthesizer(read_vocabulary(options.vocabulary), domains, split="train", seed=SEED)
    written = index = 0
    with options.output.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["sku", "name", "text", "tags", "when", "shopper", "action"])
        while written < ROWS:
            example = synthesizer.example(index, LANGUAGES[index % len(LANGUAGES)])
            index += 1
            if not (tags := shop_tags(example, domains)):
                continue
            when = (FIRST + timedelta(hours=7 * written)).strftime("%Y-%m-%d %H:%M")
            action = ("looked", "bought")[written % 5 == 0]
            listing = example.listing
            text = " ".join([listing.description, *(f"{name}: {value}" for name, value in listing.attributes)]).strip()
            user = f"u{written * 7 % USERS}"
            out.writerow([f"S{written:04}", listing.title, text, "|".join(tags), when, user, action])
            written += 1


if __name__ == "__main__":
    main()
