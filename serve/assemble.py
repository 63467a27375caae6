"""From a bundle's directory to a `Suggester` that answers: the one place where the parts are put together. It knows which parts
there are, and neither commands nor HTTP.
"""

from __future__ import annotations

from pathlib import Path

from hangtag.bundle import Bundle
from hangtag.errors import EngineError, UnknownLanguage
from hangtag.formats import read_vocabulary
from serve.candidates import Candidates
from serve.engines.local import LocalEngine
from serve.semantic import SentenceTransformerEncoder
from serve.suggester import Suggester
from serve.tokenizer import HuggingFaceTokenizer

TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "config.json")


def assemble(directory: Path, vocabulary: Path | None = None, *, encoder: str | None = None) -> Suggester:
    """The suggester of the bundle in `directory` with the local engine, over the tags of a file (None: the bundle's own).
    `encoder` is a sentence-transformers model for candidate tags; the bundle's vocabulary is their thesaurus.
    Close its engine in the end. Raises `InvalidBundle`, `InvalidVocabulary`, `UnknownLanguage`, `InvalidPrompt`,
    `EngineError`; what is cheap to check is checked before weights are read."""
    bundle = Bundle.load(directory)
    own = bundle.vocabulary
    tags = own if vocabulary is None else read_vocabulary(vocabulary)
    if not any(map(tags.speaks, bundle.languages)):
        raise UnknownLanguage(
            f"the vocabulary {tags.name!r} has labels in {', '.join(tags.languages)}; the model {bundle.model!r} answers in"
            f" {', '.join(bundle.languages)} only; add labels in one of these",
            field="vocabulary",
        )
    tokenizer = HuggingFaceTokenizer.load(bundle.base or _downloaded(bundle))
    meanings = SentenceTransformerEncoder(encoder) if encoder is not None else None
    candidates = Candidates(tags, encoder=meanings, thesaurus=own)
    return Suggester(bundle, tags, tokenizer, LocalEngine.load(bundle, tokenizer), candidates)


def _downloaded(bundle: Bundle) -> Path:
    """The directory with the tokenizer of a base that is named by its hub id."""
    from huggingface_hub import snapshot_download

    assert bundle.hub is not None, "a bundle has a base"
    try:
        return Path(snapshot_download(bundle.hub, revision=bundle.revision, allow_patterns=list(TOKENIZER_FILES)))
    except (OSError, ValueError) as error:
        raise EngineError(f"{bundle.directory}: the base {bundle.hub!r} can't be had from the hub: {error}") from error
