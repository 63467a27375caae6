"""From a bundle's directory to a `Suggester` that answers: the one place where the parts are put together. It knows which parts
there are, and neither commands nor HTTP.
"""

from __future__ import annotations

from pathlib import Path

from hangtag.bundle import Bundle
from hangtag.formats import read_vocabulary
from serve.candidates import Candidates
from serve.compiling import CompiledFiles, shared_languages
from serve.engines.choice import EngineChoice
from serve.memory import Memory
from serve.semantic import SentenceTransformerEncoder
from serve.suggester import Suggester
from serve.tokenizer import load_tokenizer


def assemble(
    directory: Path,
    vocabulary: Path | None = None,
    *,
    encoder: str | None = None,
    vocabulary_dir: Path | None = None,
    memory: Path | None = None,
    engine: EngineChoice | None = None,
) -> Suggester:
    """The suggester of the bundle in `directory` with an engine (None: the local one), over the tags of a file (None: its own).
    `encoder` is a sentence-transformers model for candidate tags; the bundle's vocabulary is their thesaurus. `vocabulary_dir`
    holds compiled vocabularies, `memory` remembered listings. Close its engine in the end. Raises `InvalidBundle`,
    `InvalidVocabulary`, `UnknownLanguage`, `InvalidPrompt`, `InvalidSettings`, `InvalidMemory`, `EngineError`; what is cheap to
    check is checked before weights are read."""
    compiled = CompiledFiles(vocabulary_dir) if vocabulary_dir is not None else None
    bundle = Bundle.load(directory)
    own = bundle.vocabulary
    tags = own if vocabulary is None else read_vocabulary(vocabulary)
    shared_languages(bundle, tags)
    remembered = Memory.open(memory, tags) if memory is not None else None
    tokenizer = load_tokenizer(bundle)
    meanings = SentenceTransformerEncoder(encoder) if encoder is not None else None
    candidates = Candidates(tags, encoder=meanings, thesaurus=own)
    running = (engine or EngineChoice()).load(bundle, tokenizer, vocabulary_dir)
    return Suggester(bundle, tags, tokenizer, running, candidates, compiled=compiled, memory=remembered)
