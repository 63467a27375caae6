"""`hangtag bench serving`: vLLM held to a vocabulary beside vLLM held to nothing. It knows columns, no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BundleOption
from hangtag.files import save_json

SAMPLES = 32
"""Listings whose tokens are counted."""


def serving(
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Tags of the vocabularies.")] = "10000,73000",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures as JSON.")] = None,
    backends: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="vLLM's own to stand beside; none with ''.")
    ] = "guidance,xgrammar",
    requests: Annotated[int, typer.Option(min=8, help="Requests a round.")] = 512,
    callers: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds; medians are shown.")] = 3,
    limit: Annotated[float, typer.Option(min=1, help="Seconds after which a round is stopped.")] = 120,
    bundle: BundleOption = None,
) -> None:
    """Answers of five tags by vLLM in this process, as a share of its tokens a second without a vocabulary; what of a prompt
    comes from the cache after an event, and what an answer costs as JSON. Needs the extra vllm."""
    import asyncio
    from dataclasses import asdict, replace

    from cli.bench import sizes_of
    from cli.console import messages, output, plain_table, print_table
    from eval.speed.requests import Asker
    from eval.speed.serving import Cached, Plan, Row, Tokens, run
    from eval.speed.tags import make_vocabulary
    from hangtag.bundle import Bundle
    from hangtag.errors import InvalidSettings
    from prompts.render import TEMPLATES
    from serve.engines.vllm import VllmEngine
    from serve.settings import read_settings
    from serve.tokenizer import load_tokenizer

    if json is not None and not json.parent.is_dir():
        raise InvalidSettings(f"{json}: there is no directory {json.parent}; make it first", field="json")
    loaded = Bundle.load(read_settings(bundle=bundle).bundle)
    tokenizer = load_tokenizer(loaded)
    with messages().status("Making requests") as status:
        vocabularies = [make_vocabulary(size) for size in sizes_of(sizes)]
        askers = [Asker(loaded, tokenizer, vocabulary, min(requests, callers)) for vocabulary in vocabularies]
        own = Asker(loaded, tokenizer, loaded.vocabulary, SAMPLES)
        chat = replace(loaded, prompt_file=TEMPLATES / "chat.j2", context=2 * loaded.context)
        plan = Plan(
            [asyncio.run(asker.asked(explains=explains)) for explains in (False, True) for asker in askers],
            [asyncio.run(asker.asked(explains=explains)) for asker in (own, askers[0]) for explains in (False, True)],
            {"the bundle's": own, "the chat": Asker(chat, tokenizer, vocabularies[0], SAMPLES)},
            chat.context,
            requests,
            callers,
            rounds,
            limit,
            [name for name in backends.split(",") if name],
        )
        done = []
        for figure in run(
            plan, lambda options: VllmEngine.load(loaded, tokenizer, adapters=False, options=options), status.update
        ):
            done.append(figure)
            if json is not None:
                save_json([{"figure": type(each).__name__, **asdict(each)} for each in done], json)
    console = output()
    table = plain_table(
        "tags", "explained", "engine", "answers/s", "tokens/s", "of unconstrained", "with log-probabilities", "note"
    )
    for row in done:
        if isinstance(row, Row):
            shown = ((row.answers, 1), (row.rate, 0), (row.share, 2), (row.share_with_logprobs, 2))
            cells = (f"{value:,.{digits}f}" if value else "" for value, digits in shown)
            table.add_row(f"{row.tags:,}", "yes" if row.explains else "", row.engine, *cells, row.note)
    print_table(console, table)
    for each in done:
        if isinstance(each, Tokens):
            what = "with an explanation" if each.explains else "alone"
            said = f"{each.share:.0%} of the tokens of the same as JSON"
            console.print(f"Five tags {what} ({each.vocabulary}): {said}", soft_wrap=True)
        elif isinstance(each, Cached):
            said = f"{each.share:.0%} of {each.tokens} tokens come from the cache (blocks of {each.block})"
            console.print(f"After an event, {each.prompt} prompt: {said}", soft_wrap=True)
