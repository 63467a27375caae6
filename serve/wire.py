"""`Wire`: what every body of the API keeps to. It knows no body.

A body of many wrong parts is refused at the first of them: pydantic would gather all, at 20 µs each, and 300,000 empty objects
are no long body.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MOST_ENTRIES = 1_000
"""Fields of an object, whether they are known or not."""


def _few(given: Any) -> Any:
    if isinstance(given, dict) and len(given) > MOST_ENTRIES:
        message = "has {count} entries, at most {most} are allowed"
        raise PydanticCustomError("too_long", message, {"count": f"{len(given):,}", "most": f"{MOST_ENTRIES:,}"})
    return given


class Wire(BaseModel):
    """Fields are as they are said to be, and there are no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: Any) -> Any:
        return _few(given)


T = TypeVar("T")

Listed = Annotated[list[T], Field(fail_fast=True)]
"""A list in a request, told of its first wrong part only."""

Texts = Annotated[dict[str, str], BeforeValidator(_few)]
"""Names and values, at most MOST_ENTRIES."""

Counts = Annotated[dict[str, int], BeforeValidator(_few)]
"""Names and numbers, at most MOST_ENTRIES."""
