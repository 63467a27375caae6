"""Whether a small model can copy a label from its prompt, and then pick among candidates that stand there: training on the rows
of `finetune/episodes.py`, and what a model then gets right. It knows no merchant's tags and ships no weights.

    python -m finetune.copying --data DIR --output runs/copy --task copy --tokens 2000000
    python -m finetune.copying --data DIR --output runs/pick --task pick --tokens 4000000 --base runs/copy/weights
    python -m finetune.copying --data DIR --output runs/same --tokens 0 --base runs/pick/weights    # measures only
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel, Qwen3ForCausalLM, set_seed

from eval.datasets import convert
from finetune.episodes import TEMPLATE, Encoder, Episode, Shop, Spans, copying, picking
from finetune.pretrain import PLAIN_TEXT_SETS
from finetune.rows import IGNORED
from finetune.synthesize import Synthesizer, read_domains
from finetune.unseen import PRIORS, Judges
from hangtag.bundle import Bundle
from hangtag.rules import AnswerRules
from serve.engines.engine import GenerationRequest
from serve.engines.local import LocalEngine
from serve.tokenizer import HuggingFaceTokenizer

log = logging.getLogger("finetune.copying")

BATCH, WARM_UP = 32, 50
PICKED_FROM = (4, 16)

WIDTHS = (96, 176, 304)
"""Of batches: few, since each is compiled for itself. Longer rows are not learned."""


def batches(episodes: Iterable[Episode], encoder: Encoder, *, budget: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels of `budget` tokens at most with padding (on the right): rows of like length, as soon as there are enough."""
    waiting: dict[int, list[tuple[list[int], list[int]]]] = {width: [] for width in WIDTHS}
    pad = encoder.tokenizer.transformers.pad_token_id
    for episode in episodes:
        prompt, answer = encoder.prompt(episode), encoder.answer(episode)
        width = next((width for width in WIDTHS if width >= len(prompt) + len(answer)), None)
        if width is None:
            continue
        waiting[width].append((prompt, answer))
        if len(waiting[width]) < budget // width:
            continue
        ids = torch.full((len(waiting[width]), width), pad)
        labels = torch.full_like(ids, IGNORED)
        for place, (prompt, answer) in enumerate(waiting[width]):
            ids[place, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
            labels[place, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
        waiting[width].clear()
        yield ids, labels


def answer_loss(model: Any, layers: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the answers' tokens. Padding is behind everything, so that no mask is needed."""
    hidden = layers(input_ids=ids).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != IGNORED
    return cross_entropy(model.lm_head(hidden[learned]).float(), labels[:, 1:][learned])


def learn(
    model: Any, episodes: Iterator[Episode], encoder: Encoder, *, tokens: int, rate: float, budget: int, compiled: bool = False
) -> Iterator[tuple[int, float]]:
    """Train in place until `tokens` tokens were read, padding not counted; yields after each batch how many were, and its loss.
    The rate rises over 50 batches and falls to a tenth in the end."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    layers, read = torch.compile(model.model, dynamic=False) if compiled else model.model, 0
    model.train()
    for step, (ids, labels) in enumerate(batches(episodes, encoder, budget=budget), start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / WARM_UP) * (1 - 0.9 * min(1, read / tokens))
        with torch.autocast(ids.device.type, torch.bfloat16):
            loss = answer_loss(model, layers, ids, labels)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        read += int((ids != encoder.tokenizer.transformers.pad_token_id).sum())
        yield read, float(loss.detach())
        if read >= tokens:
            return


def answered_freely(model: Any, encoder: Encoder, episodes: Sequence[Episode]) -> float:
    """The share of answers that are right token by token when nothing forbids any token. Greedy."""
    right, pad = 0, encoder.tokenizer.transformers.pad_token_id
    for start in range(0, len(episodes), BATCH):
        rows = [(encoder.prompt(episode), encoder.answer(episode)) for episode in episodes[start : start + BATCH]]
        width, longest = (max(len(row[side]) for row in rows) for side in (0, 1))
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt, _ in rows])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt, _ in rows])
        settings = GenerationConfig(eos_token_id=encoder.tokenizer.eos_id, pad_token_id=pad, max_new_tokens=longest)
        with torch.inference_mode():
            made = model.generate(ids, attention_mask=mask, generation_config=settings)
        right += sum(row[width:].tolist()[: len(answer)] == answer for row, (_, answer) in zip(made, rows, strict=True))
    return right / len(episodes)


async def answered_within(
    model: PreTrainedModel, encoder: Encoder, episodes: Sequence[Episode], others: Sequence[str] = ()
) -> tuple[float, float]:
    """By the production decoder over each row's candidates and `others`: the shares of answers that are right as a whole, and
    whose first tag is."""
    engine = LocalEngine(model, encoder.tokenizer)
    whole = first = 0
    try:
        for start in range(0, len(episodes), BATCH):
            some = episodes[start : start + BATCH]
            shared = {label for episode in some for label in (*episode.candidates, *others)} if others else set()
            codecs = [encoder.codec(sorted(shared) or episode.candidates, episode.language) for episode in some]
            most = max(len(episode.answer) for episode in some)
            rules = [AnswerRules(1, min(most, len(codec.vocabulary)), explain=False) for codec in codecs]
            requests = [
                GenerationRequest(tuple(encoder.prompt(episode)), codec, rule)
                for episode, codec, rule in zip(some, codecs, rules, strict=True)
            ]
            made = await asyncio.gather(*map(engine.generate, requests))
            for episode, codec, generation in zip(some, codecs, made, strict=True):
                said = [codec.written[tag] for tag in codec.read(generation.ids).tags]
                whole += tuple(said) == episode.answer
                first += said[0] in episode.answer
    finally:
        await engine.close()
    return whole / len(episodes), first / len(episodes)


def gates(model: PreTrainedModel, encoder: Encoder, spans: Spans, count: int, *, only_copies: bool) -> dict[str, float]:
    """Gate 1, one label to copy, and gate 2, candidates to pick from, on `count` rows each that nobody trained on: by language,
    and by whether what is picked has a line of its own in the listing."""
    model.eval()
    rng, figures = random.Random(1), {}
    for name, pieces in (("pieces", 1.0), ("spans", 0.0)):
        labels = [(language := ("en", "zh")[number % 2], spans.label(language, rng, pieces=pieces)) for number in range(count)]
        rows = [Episode(language, (), (label,), (label,)) for language, label in labels]
        others = spans.labels(1000, "en", rng)
        figures[f"copy {name}, free"] = answered_freely(model, encoder, rows)
        figures[f"copy {name}, of 1,000"] = asyncio.run(answered_within(model, encoder, rows, others))[0]
    for language, on_lines in () if only_copies else product(("en", "zh"), (True, False)):
        for candidates in PICKED_FROM:
            rows = [picking(spans, rng, candidates, 1, language=language, on_lines=on_lines) for _ in range(count)]
            place = "line" if on_lines else "text"
            figures[f"pick 1 of {candidates}, {language}, {place}"] = asyncio.run(answered_within(model, encoder, rows))[0]
    return {name: round(figure, 4) for name, figure in figures.items()}


TASKS = {"copy": {"copy": 1.0}, "pick": {"copy": 0.3, "pick": 0.7}, "shop": {"copy": 0.05, "pick": 0.25, "shop": 0.7}}


def drawn(task: str, spans: Spans, shop: Shop, rng: random.Random) -> Iterator[Episode]:
    """Episodes of a task without end, some of the simpler ones among them."""
    names, weights = zip(*TASKS[task].items(), strict=True)
    makers: dict[str, Callable[[random.Random], Episode]] = {
        "copy": partial(copying, spans),
        "pick": partial(picking, spans),
        "shop": shop.example,
    }
    while True:
        yield makers[rng.choices(names, weights)[0]](rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of the public sets")
    parser.add_argument("--output", type=Path, required=True, help="weights and curve.jsonl come here")
    parser.add_argument("--base", type=Path, default=Path("models/hangtag-mini/base"))
    parser.add_argument("--bundle", type=Path, default=Path("models/hangtag-mini"), help="its vocabulary is the thesaurus")
    parser.add_argument("--domains", type=Path, default=Path(__file__).parent / "domains.csv")
    parser.add_argument("--task", choices=sorted(TASKS), default="copy")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="0 measures only")
    parser.add_argument("--every", type=int, default=250_000, help="tokens between two measurements")
    parser.add_argument("--batch", type=int, default=3072, help="tokens of a batch")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--rows", type=int, default=100, help="rows of each measurement")
    parser.add_argument("--compile", action="store_true", help="twice as fast on a CPU, after some minutes")
    parser.add_argument("--judged", type=int, default=300, help="rows of each set that nothing is trained on")
    parser.add_argument("--compare", action="store_true", help="in the end, with priors of several weights, beside none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    set_seed(options.seed)
    tokenizer = HuggingFaceTokenizer.load(options.base)
    encoder = Encoder(tokenizer)
    options.output.mkdir(parents=True, exist_ok=True)
    sets = [convert(name, options.data) for name in PLAIN_TEXT_SETS]
    learned = Spans(tokenizer, [row.listing.text() for found in sets for row in found.rows])
    vocabulary = Bundle.load(options.bundle).vocabulary
    shop = Shop(Synthesizer(vocabulary, read_domains(options.domains), split="train", seed=options.seed), sets)
    prompt = options.output / "prompt.j2"
    prompt.write_text(TEMPLATE, encoding="utf-8")
    judges = Judges(options.bundle, options.data, options.judged)
    unseen = Spans(tokenizer, [row.listing.text() for rows in judges.rows.values() for row in rows])
    model = Qwen3ForCausalLM.from_pretrained(options.base, dtype=torch.float32, attn_implementation="eager")
    weights = options.output / "weights"
    shutil.copytree(options.base, weights, dirs_exist_ok=True)
    begun, spent = time.process_time(), 0.0

    def measure(read: int, losses: list[float], *, whole: bool) -> None:
        nonlocal spent
        start = time.process_time()
        model.save_pretrained(weights, safe_serialization=True)
        loss = round(sum(losses) / max(1, len(losses)), 4)
        minutes = round((start - begun - spent) / 60, 1)
        figures = gates(model, encoder, unseen, options.rows, only_copies=options.task == "copy" and not whole)
        for name in judges.rows if options.task == "shop" or whole else ():
            figures[name] = round(float(judges.suggested(name, model, tokenizer, 0.0, prompt).mean()), 4)
        spent += time.process_time() - start
        line = json.dumps({"task": options.task, "tokens": read, "CPU minutes": minutes, "loss": loss, **figures})
        log.info("%s", line)
        with (options.output / "curve.jsonl").open("a", encoding="utf-8") as curve:
            curve.write(line + "\n")

    measure(0, [], whole=not options.tokens)
    losses: list[float] = []
    due = options.every
    rows = drawn(options.task, learned, shop, random.Random(options.seed))
    settings = {"tokens": options.tokens, "rate": options.learning_rate, "budget": options.batch}
    for read, loss in learn(model, rows, encoder, **settings, compiled=options.compile) if options.tokens else ():
        losses.append(loss)
        if len(losses) % 20 == 0:
            log.info("%d tokens, loss %.4f", read, sum(losses[-20:]) / 20)
        if read >= due or read >= options.tokens:
            measure(read, losses, whole=read >= options.tokens)
            losses, due = [], read + options.every
    for name in judges.rows if options.compare else ():
        asked = partial(judges.suggested, name, model, tokenizer)
        systems = {f"candidates shown, prior {prior:g}": asked(prior, prompt) for prior in PRIORS}
        systems |= {f"none shown, prior {prior:g}": asked(prior) for prior in (0.0, PRIORS[-1])}
        for found in judges.compared(name, systems):
            log.info("%s", json.dumps(found))


if __name__ == "__main__":
    main()
