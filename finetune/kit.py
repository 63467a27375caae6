"""What a run needs of serving: the bundle that it will become, without an adapter yet, and suggesters over it. It knows the
parts of `serve`, and neither rows nor optimisers.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from eval.baselines import Tick
from eval.corpus import Corpus
from eval.remember import remember
from finetune.config import Recipe
from finetune.model import BaseFiles
from hangtag.bundle import Bundle, Weights
from hangtag.formats import write_jsonl
from hangtag.vocabulary import TagVocabulary
from prompts.render import TEMPLATES, PromptTemplate
from serve.candidates import Candidates
from serve.compiling import shared_languages
from serve.engines.engine import Engine
from serve.memory import Memory
from serve.suggester import Suggester
from serve.tokenizer import HuggingFaceTokenizer

PROMPT, VOCABULARY = "prompt.j2", "vocabulary.jsonl"

TRAINED_WITH = 1.0
"""How often a memory counts while an adapter is trained beside it, unless the recipe says otherwise."""


@dataclass(frozen=True, eq=False)
class Kit:
    """The bundle to be, its tokenizer and its candidates, made once for all suggesters."""

    bundle: Bundle
    vocabulary: TagVocabulary
    tokenizer: HuggingFaceTokenizer
    candidates: Candidates
    memory: Memory | None = None

    @property
    def pad_id(self) -> int:
        """The token that fills rows up; masks see to it that it means nothing."""
        pad = self.tokenizer.transformers.pad_token_id
        return self.tokenizer.eos_id if pad is None else int(pad)

    def suggester(self, engine: Engine, *, context: int | None = None) -> Suggester:
        """A suggester as serving has it, over any engine; `context` where listings are to be cut to another length."""
        bundle = self.bundle if context is None else replace(self.bundle, context=context)
        return Suggester(bundle, self.vocabulary, self.tokenizer, engine, self.candidates, memory=self.memory)

    def weighing(self, own_memory: float) -> Kit:
        """With another weight of what the memory says."""
        weights = replace(self.bundle.weights, own_memory=own_memory)
        return replace(self, bundle=replace(self.bundle, weights=weights))

    def remembering(self, corpus: Corpus, folder: Path, tick: Tick) -> Kit:
        """With a memory of the corpus's training rows in `folder`, fitted as a shop would fit it. Raises `InvalidMemory`."""
        return replace(self, memory=remember(corpus, self.candidates, folder, tick).memory)


def make_kit(recipe: Recipe, files: BaseFiles, vocabulary: TagVocabulary, folder: Path) -> Kit:
    """Writes prompt and vocabulary into `folder`. Raises `InvalidPrompt`, `EngineError` for a tokenizer that can't be used,
    `UnknownLanguage` where vocabulary and recipe share none."""
    folder.mkdir(parents=True, exist_ok=True)
    template = _template(recipe.prompt.template)
    own_memory = TRAINED_WITH if recipe.weights.own_memory is None else recipe.weights.own_memory
    PromptTemplate.read(template)
    shutil.copyfile(template, folder / PROMPT)
    write_jsonl(vocabulary, folder / VOCABULARY)
    bundle = Bundle(
        directory=folder,
        name=recipe.name,
        version=recipe.version,
        hash=recipe.hash,
        languages=recipe.prompt.languages,
        context=recipe.prompt.context,
        weights=Weights(**recipe.weights.model_dump() | {"own_memory": own_memory}),
        prompt_file=folder / PROMPT,
        vocabulary_file=folder / VOCABULARY,
        adapter=None,
        base=files.directory,
        hub=files.hub,
        revision=files.revision,
    )
    shared_languages(bundle, vocabulary)
    tokenizer = HuggingFaceTokenizer.load(files.directory)
    return Kit(bundle, vocabulary, tokenizer, Candidates(vocabulary, thesaurus=vocabulary))


def _template(given: str) -> Path:
    """A template of a name that comes with hangtag, or a file."""
    own = TEMPLATES / f"{given}.j2"
    return own if "/" not in given and own.exists() else Path(given)
