"""Pre-training of the bundled model's base weights from nothing: tokenizer, rows, training. It knows the starter vocabulary
and no merchant's; `finetune/train.py` makes the adapter, `finetune/making.py` calls both.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM, set_seed

from eval.datasets import convert
from finetune.loop import LoopSettings, train
from finetune.mini import Pretraining
from finetune.rows import RowEncoder, TokenRows, TrainingRow
from finetune.synthesize import LANGUAGES, Synthesizer, read_domains
from finetune.tokenizer import train_tokenizer
from hangtag.answer import AnswerCodec
from hangtag.explanation import ExplanationGrammar
from hangtag.vocabulary import TagVocabulary
from prompts.render import TEMPLATES, PromptTemplate
from serve.tokenizer import HuggingFaceTokenizer

log = logging.getLogger("finetune.pretrain")

TOKENIZER_EXAMPLES = 40_000
LONGEST_ROW = 384
CONTEXT = 1024
PLAIN_TEXT_SETS = ("oa_mine", "winget_tags", "lobe_agents", "siyuan_bazaar")
"""Public sets whose licence lets their texts into weights that ship. retail_demo_store would be one more; it is left out so
that it can judge."""


def model_config(vocabulary_size: int, eos_id: int, pad_id: int) -> Qwen3Config:
    """The shape of the bundled model: 6.8 million parameters with 8,192 tokens."""
    return Qwen3Config(
        vocab_size=vocabulary_size,
        hidden_size=256,
        num_hidden_layers=6,
        intermediate_size=768,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        max_position_embeddings=CONTEXT,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
        bos_token_id=None,
    )


def synthetic_rows(
    vocabulary: TagVocabulary, domains: Path, *, count: int, seed: int, split: str = "train"
) -> Iterator[TrainingRow]:
    """`count` synthetic rows, the languages in turn."""
    synthesizer = Synthesizer(vocabulary, read_domains(domains), split=split, seed=seed)  # type: ignore[arg-type]
    for index in range(count):
        example = synthesizer.example(index, LANGUAGES[index % len(LANGUAGES)])
        yield TrainingRow(example.listing, example.interests, example.tags, example.explanation)


def plain_texts(data: Path) -> list[str]:
    """The listings of PLAIN_TEXT_SETS in a directory of public sets."""
    return [row.listing.text() for name in PLAIN_TEXT_SETS for row in convert(name, data).rows]


def row_encoder(tokenizer: HuggingFaceTokenizer, vocabulary: TagVocabulary) -> RowEncoder:
    """The encoder of rows for the bundled model's prompt."""
    grammar = ExplanationGrammar(tokenizer)
    codecs = {language: AnswerCodec(tokenizer, vocabulary, language, grammar) for language in LANGUAGES}
    return RowEncoder(tokenizer, PromptTemplate.read(TEMPLATES / "mini.j2"), codecs)


def pretrain(settings: Pretraining, vocabulary: TagVocabulary, domains: Path, data: Path | None, folder: Path) -> Path:
    """Tokenizer and base weights in `folder`, and where they are; what an interrupted call left there is gone on with. `data` is
    the directory of the public sets; without it only synthetic rows are learned from."""
    set_seed(settings.seed)
    texts = plain_texts(data) if data else []
    base = folder / "base"
    if not (base / "tokenizer.json").exists():
        sample = synthetic_rows(vocabulary, domains, count=TOKENIZER_EXAMPLES, seed=settings.seed + 1)
        labels = [f"\n{label}\n" for language in LANGUAGES for label in vocabulary.written(language)]
        corpus = [text for row in sample for text in (row.listing.text(), row.explanation)]
        train_tokenizer([*corpus, *labels * 20, *texts], base, size=settings.tokens)
        log.info("tokenizer trained on %d texts", len(corpus) + len(texts))
    tokenizer = HuggingFaceTokenizer.load(base)
    rows = _rows(settings, row_encoder(tokenizer, vocabulary), vocabulary, domains, texts, folder / "rows.npz")
    config = model_config(tokenizer.size, tokenizer.eos_id, tokenizer.transformers.pad_token_id)
    config._attn_implementation = "eager"  # compiled, faster than scaled_dot_product_attention on a CPU
    model = Qwen3ForCausalLM(config)
    log.info("%.2f M parameters", sum(parameter.numel() for parameter in model.parameters()) / 1e6)
    loop = LoopSettings(learning_rate=settings.learning_rate, seed=settings.seed, max_steps=settings.steps or -1)
    losses = train(model, rows, folder / "checkpoints", loop, pad_id=tokenizer.transformers.pad_token_id)
    model.to(torch.bfloat16).save_pretrained(base, safe_serialization=True)
    (folder / "losses.json").write_text(json.dumps(losses, indent=1))
    log.info("loss %s -> %s; base weights in %s", losses[:1], losses[-1:], base)
    return base


def _rows(
    settings: Pretraining, encoder: RowEncoder, vocabulary: TagVocabulary, domains: Path, texts: list[str], cache: Path
) -> TokenRows:
    """Synthetic rows and plain texts as ids, made once."""
    if not cache.exists():
        rows = synthetic_rows(vocabulary, domains, count=settings.examples, seed=settings.seed)
        tokenizer = encoder.tokenizer
        plain: Iterator[tuple[list[int], list[int]]] = (([], [*tokenizer.encode(text), tokenizer.eos_id]) for text in texts)
        encoded = TokenRows.collect(
            (pair for source in (map(encoder.encode, rows), plain) for pair in source), longest=LONGEST_ROW
        )
        part = cache.with_suffix(".part.npz")
        encoded.save(part)
        part.replace(cache)
        log.info("%d rows of %d fit, %d tokens", len(encoded), settings.examples + len(texts), encoded.offsets[-1])
    return TokenRows.load(cache)
