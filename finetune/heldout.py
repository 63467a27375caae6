"""The bundled model on synthetic listings whose templates and wordings it was never trained on, through `Suggester`. It knows
which words carry which tag, so it can also say whether reasons quote the right ones.

    python -m finetune.heldout [--bundle models/hangtag-mini] [--count 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from pathlib import Path

from eval.metrics import micro_f1
from finetune.pretrain import LANGUAGES
from finetune.synthesize import Example, Synthesizer, read_domains
from hangtag.suggestion import Suggestion
from serve.assemble import assemble
from serve.suggester import Suggester, SuggestionRequest

QUOTE = re.compile("“([^”]*)”")


def overlaps(example: Example, quote: str) -> bool:
    """Whether the quote shares a place of the listing with words that carry a tag of it."""
    text = "\n".join(example.listing.quotable())
    places = [(m.start(), m.end()) for _, span in example.evidence for m in re.finditer(re.escape(span), text)]
    quoted = [(m.start(), m.end()) for m in re.finditer(re.escape(quote), text)]
    return any(start < end_ and start_ < end for start, end in places for start_, end_ in quoted)


async def answers(suggester: Suggester, examples: list[Example]) -> list[Suggestion]:
    """What is suggested for each listing, the user's interests left out: what a listing says does not hang on them."""
    return await asyncio.gather(*(suggester.suggest(SuggestionRequest(example.listing)) for example in examples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/hangtag-mini"))
    parser.add_argument("--domains", type=Path, default=Path(__file__).parent / "domains.csv")
    parser.add_argument("--count", type=int, default=200, help="listings in each language")
    parser.add_argument("--show", type=int, default=0, help="how many answers to print")
    options = parser.parse_args()
    suggester = assemble(options.bundle)
    synthesizer = Synthesizer(suggester.vocabulary, read_domains(options.domains), split="test", seed=77)
    for language in LANGUAGES:
        examples = [synthesizer.example(index, language) for index in range(options.count)]
        suggestions = asyncio.run(answers(suggester, examples))
        gold = [set(example.tags) for example in examples]
        given = [[tag.tag.id for tag in suggestion.tags] for suggestion in suggestions]
        quotes = [(e, q) for e, s in zip(examples, suggestions, strict=True) for q in QUOTE.findall(s.explanation)]
        false = sum(not any(quote in line for line in example.listing.quotable()) for example, quote in quotes)
        report = {
            "language": language,
            "listings": len(examples),
            "micro-F1": round(micro_f1(gold, given), 4),
            "quotes": len(quotes),
            "false quotes": false,
            "quotes that overlap words that carry a tag": round(sum(overlaps(e, q) for e, q in quotes) / max(1, len(quotes)), 4),
        }
        print(json.dumps(report, ensure_ascii=False))
        for example, suggestion in list(zip(examples, suggestions, strict=True))[: options.show]:
            answered = [tag.tag.id for tag in suggestion.tags]
            print(f"  {example.listing.text()!r}\n    gold {example.tags}\n    given {answered} {suggestion.explanation}")


if __name__ == "__main__":
    main()
