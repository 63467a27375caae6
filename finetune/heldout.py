"""The bundled model on synthetic listings whose templates and wordings it was never trained on, through `Suggester`. It knows
which words carry which tag, so it can also say whether reasons quote the right ones.

    python -m finetune.heldout [--bundle models/hangtag-mini] [--count 200]
    python -m finetune.heldout --count 600 --seed 78 --rows heldout.jsonl    # for hangtag finetune calibrate
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

from eval.metrics import micro_f1
from eval.rows import Row, write_rows
from eval.run import QUOTATION, stands_in
from finetune.synthesize import LANGUAGES, Example, Synthesizer, read_domains
from hangtag.bundle import Bundle
from hangtag.history import InterestProfile
from hangtag.suggestion import Suggestion
from hangtag.vocabulary import TagVocabulary
from serve.assemble import assemble
from serve.suggester import Suggester, SuggestionRequest


def overlaps(example: Example, quote: str) -> bool:
    """Whether the quote shares a place of the listing with words that carry a tag of it."""
    text = "\n".join(example.listing.quotable())
    places = [(m.start(), m.end()) for _, span in example.evidence for m in re.finditer(re.escape(span), text)]
    quoted = [(m.start(), m.end()) for m in re.finditer(re.escape(quote), text)]
    return any(start < end_ and start_ < end for start, end in places for start_, end_ in quoted)


def profile(example: Example, vocabulary: TagVocabulary) -> InterestProfile:
    """The example's interests as weights, the first the largest."""
    return InterestProfile({vocabulary.index(tag): 1 / place for place, tag in enumerate(example.interests, start=1)})


async def answers(suggester: Suggester, examples: list[Example], *, interests: bool) -> list[Suggestion]:
    """What is suggested for each listing, with or without what its reader is interested in."""
    nobody = InterestProfile()
    profiles = [profile(example, suggester.vocabulary) if interests else nobody for example in examples]
    requests = [SuggestionRequest(example.listing, known) for example, known in zip(examples, profiles, strict=True)]
    return await asyncio.gather(*map(suggester.suggest, requests))


def report_of(examples: list[Example], suggestions: list[Suggestion]) -> dict[str, float]:
    """Micro-F1 and the truth of the quotations."""
    quotes = [(e, q) for e, s in zip(examples, suggestions, strict=True) for q in QUOTATION.findall(s.explanation)]
    return {
        "listings": len(examples),
        "micro-F1": round(micro_f1([e.tags for e in examples], [[t.tag.id for t in s.tags] for s in suggestions]), 4),
        "quotes": len(quotes),
        "false quotes": sum(not stands_in(example.listing, quote) for example, quote in quotes),
        "share of quotes that overlap words of a tag": round(sum(overlaps(e, q) for e, q in quotes) / max(1, len(quotes)), 4),
    }


def interest_report(examples: list[Example], without: list[Suggestion], given: list[Suggestion]) -> dict[str, float]:
    """For the examples with interests: how often an interest that the listing carries comes first, and how many tags that are
    only interests are in the answers, each without the interests and with them."""
    helped = [p for p, example in enumerate(examples) if example.interests and example.tags[0] in example.interests]
    asked = [p for p, example in enumerate(examples) if example.interests]

    def first(answers: list[Suggestion]) -> float:
        hits = sum(bool(answers[p].tags) and answers[p].tags[0].tag.id in examples[p].interests for p in helped)
        return round(hits / max(1, len(helped)), 4)

    def only_wished(answers: list[Suggestion]) -> int:
        wished = (set(examples[p].interests) - set(examples[p].tags) for p in asked)
        return sum(len(tags & {t.tag.id for t in answers[p].tags}) for p, tags in zip(asked, wished, strict=True))

    return {
        "listings with interests": len(asked),
        "of them with one that the listing carries": len(helped),
        "carried interest first, without": first(without),
        "carried interest first, with": first(given),
        "tags that are only interests, without": only_wished(without),
        "tags that are only interests, with": only_wished(given),
        "micro-F1 of these, without": report_of([examples[p] for p in asked], [without[p] for p in asked])["micro-F1"],
        "micro-F1 of these, with": report_of([examples[p] for p in asked], [given[p] for p in asked])["micro-F1"],
    }


def rows_of(synthesizer: Synthesizer, count: int) -> list[Row]:
    """`count` listings in each language as rows; their tags are ids."""
    return [
        Row(replace(example.listing, id=f"{language}-{index}"), example.tags)
        for language in LANGUAGES
        for index in range(count)
        if (example := synthesizer.example(index, language)).tags
    ]


async def measure(suggester: Suggester, synthesizer: Synthesizer, count: int, show: int) -> None:
    """Print a line of JSON a language for the listings, and one for the interests."""
    try:
        for language in LANGUAGES:
            examples = [synthesizer.example(index, language) for index in range(count)]
            without = await answers(suggester, examples, interests=False)
            given = await answers(suggester, examples, interests=True)
            print(json.dumps({"language": language, **report_of(examples, without)}, ensure_ascii=False))
            print(json.dumps({"language": language, **interest_report(examples, without, given)}, ensure_ascii=False))
            for example, suggestion in list(zip(examples, without, strict=True))[:show]:
                answered = [tag.tag.id for tag in suggestion.tags]
                print(f"  {example.listing.text()!r}\n    gold {example.tags}\n    given {answered} {suggestion.explanation}")
    finally:
        await suggester.engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/hangtag-mini"))
    parser.add_argument("--domains", type=Path, default=Path(__file__).parent / "domains.csv")
    parser.add_argument("--count", type=int, default=200, help="listings in each language")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--show", type=int, default=0, help="how many answers to print")
    parser.add_argument("--rows", type=Path, help="only write the listings as rows into this file")
    options = parser.parse_args()
    vocabulary = Bundle.load(options.bundle).vocabulary
    synthesizer = Synthesizer(vocabulary, read_domains(options.domains), split="test", seed=options.seed)
    if options.rows:
        write_rows(rows_of(synthesizer, options.count), options.rows)
        return
    suggester = assemble(options.bundle)
    asyncio.run(measure(suggester, synthesizer, options.count, options.show))


if __name__ == "__main__":
    main()
