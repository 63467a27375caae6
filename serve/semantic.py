"""Sentence encoders: texts as vectors whose inner product says how close two meanings are. They know no tags and no listing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import EngineError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceEncoder(Protocol):
    """Whatever turns texts into vectors. `model` says which vectors these are."""

    model: str

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """One row a text: shape (len(texts), D), rows of length 1."""
        ...


class SentenceTransformerEncoder:
    """A model of sentence-transformers (extra `semantic`), by its id on the Hugging Face hub or its directory; it is loaded
    when the first text comes. Raises `EngineError` if the package is missing, or the model can't be read or can't run."""

    def __init__(self, model: str, *, device: str | None = None, batch_size: int = 64) -> None:
        self.model = model
        self._device = device
        self._batch_size = batch_size

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """One row a text: shape (len(texts), D), rows of length 1. Texts past the model's window are cut by the model."""
        model = self._loaded
        try:
            rows = model.encode(texts, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False)
        except RuntimeError as error:
            raise EngineError(f"the sentence encoder {self.model!r} failed: {error}; try a smaller batch or the CPU") from error
        return np.asarray(rows, dtype=np.float32)

    @cached_property
    def _loaded(self) -> SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EngineError("no sentence-transformers here; install the extra `semantic`, or use no encoder") from error
        try:
            return SentenceTransformer(self.model, device=self._device)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"the sentence encoder {self.model!r} can't be loaded: {error}; give the id of a sentence-transformers model on"
                " the hub, or the directory of one"
            ) from error
