"""Training rows as token ids: a prompt and the answer that should follow it. It knows the prompt's template and the answer's
writer, which are those of serving, and no optimiser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hangtag.answer import Answer, AnswerCodec
from hangtag.listing import Listing
from prompts.render import PromptTemplate, PromptValues
from serve.tokenizer import HuggingFaceTokenizer

IGNORED = -100
"""The label of tokens that are not learned, as torch's cross entropy has it."""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """What a row says: the listing, the user's interests and the tags of the answer (ids), and the gold explanation."""

    listing: Listing
    interests: tuple[str, ...]
    tags: tuple[str, ...]
    explanation: str


class RowEncoder:
    """Rows as ids, by the template and codecs (by language) that serving uses."""

    def __init__(self, tokenizer: HuggingFaceTokenizer, template: PromptTemplate, codecs: Mapping[str, AnswerCodec]) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.codecs = codecs

    def encode(self, row: TrainingRow) -> tuple[list[int], list[int]]:
        """The ids of the prompt and of the answer."""
        language = row.listing.resolved_language()
        codec = self.codecs[language]
        vocabulary = codec.vocabulary
        interests = [codec.written[vocabulary.index(tag)] for tag in row.interests]
        values = PromptValues(language=language, lines=row.listing.lines(), interests=interests)
        answer = Answer(tuple(vocabulary.index(tag) for tag in row.tags), row.explanation)
        return self.tokenizer.conversation(self.template.render(values)), codec.write(answer)


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Encoded rows, flat: row i is tokens[offsets[i]:offsets[i + 1]], of which the first `learned_from[i]` are its prompt."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    learned_from: NDArray[np.int32]

    @classmethod
    def collect(cls, rows: Iterable[tuple[Sequence[int], Sequence[int]]], *, longest: int) -> TokenRows:
        """From pairs of prompt and answer ids; rows over `longest` tokens are left out (compare the length to see how many)."""
        kept = [(prompt, answer) for prompt, answer in rows if len(prompt) + len(answer) <= longest]
        lengths = np.array([len(prompt) + len(answer) for prompt, answer in kept], np.int64)
        flat = np.fromiter((t for prompt, answer in kept for t in (*prompt, *answer)), np.int32, int(lengths.sum()))
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]), np.array([len(prompt) for prompt, _ in kept], np.int32))

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez(path, tokens=self.tokens, offsets=self.offsets, learned_from=self.learned_from)

    @classmethod
    def load(cls, path: Path) -> TokenRows:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["tokens"], arrays["offsets"], arrays["learned_from"])

    def __len__(self) -> int:
        return len(self.learned_from)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each row."""
        return np.diff(self.offsets)


WIDTH_QUANTILES = (0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
"""Shares of the rows that the widths of batches are made for: few widths, so that few shapes are compiled."""


class TokenBatches(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Batches of rows of like length, at most `budget` tokens each with padding, as items of a map-style dataset: their order
    is decided by the trainer's seed, so that an interrupted run resumes with the batches it had not seen. The last batch of a
    width is filled up with rows of its own from the beginning: every width has one shape."""

    def __init__(self, rows: TokenRows, *, budget: int, pad_id: int, seed: int = 0) -> None:
        self.rows, self.pad_id = rows, pad_id
        self._lengths = rows.lengths
        quantiles = np.quantile(self._lengths, WIDTH_QUANTILES, method="higher")
        self.widths = np.unique(-(-quantiles.astype(np.int64) // 16) * 16)
        padded = self.widths[np.searchsorted(self.widths, self._lengths)]
        order = np.random.default_rng(seed).permutation(len(rows))
        self.batches: list[tuple[int, NDArray[np.int64]]] = []
        for width in self.widths.tolist():
            members = order[padded[order] == width]
            size = max(1, budget // width)
            full = np.resize(members, -(-len(members) // size) * size)
            self.batches += [(width, batch) for batch in full.reshape(-1, size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """input_ids, labels, attention_mask: (rows, width) int64."""
        width, members = self.batches[index]
        lengths = self._lengths[members]
        ids = np.full((len(members), width), self.pad_id, np.int64)
        labels = np.full((len(members), width), IGNORED, np.int64)
        for position, row in enumerate(members):
            tokens = self.rows.tokens[self.rows.offsets[row] : self.rows.offsets[row + 1]]
            ids[position, : len(tokens)] = tokens
            labels[position, self.rows.learned_from[row] : len(tokens)] = tokens[self.rows.learned_from[row] :]
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels), "attention_mask": torch.from_numpy(mask)}


def unbatched(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The collator for `TokenBatches`: an item is a batch already."""
    (batch,) = items
    return batch
