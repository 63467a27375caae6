"""What an answer over HTTP is held to by somebody who has the vocabulary and the listing: tags that exist, each once, as many as
were asked for, quotations that stand in the listing, from the model that was asked. It knows JSON, no server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eval.run import QUOTATION
from hangtag.vocabulary import TagVocabulary
from serve.suggester import DEFAULT_MAX_TAGS


class AnswerCheck:
    """For answers over one vocabulary to requests that leave the number of tags to the server."""

    def __init__(self, vocabulary: TagVocabulary) -> None:
        self._labels = {tag.id: frozenset(tag.labels.values()) for tag in vocabulary}

    def __call__(self, asked: Mapping[str, Any], answer: Any, model: str | None = None) -> Iterator[str]:
        """What is wrong, a few words each. `model` is the adapter that was named."""
        tags = [(tag["id"], tag["label"]) for tag in answer["tags"]]
        if any(id not in self._labels for id, _ in tags):
            yield "a tag outside the vocabulary"
        elif any(all(label != known and not label.endswith(f" > {known}") for known in self._labels[id]) for id, label in tags):
            yield "a label that is not the tag's"
        if len(set(tags)) < len(tags):
            yield "a tag twice"
        if not 1 <= len(tags) <= DEFAULT_MAX_TAGS:
            yield "too many tags, or none"
        if bool(answer["explanation"]) is not asked["explain"]:
            yield "a reason too many, or none"
        text = f"{asked['title']}\n{asked['description']}"
        if any(quoted not in text for quoted in QUOTATION.findall(answer["explanation"])):
            yield "a quotation that is not in the listing"
        if model is not None and answer["model"] != model:
            yield "an answer of another model"
