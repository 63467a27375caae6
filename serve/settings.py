"""Settings from the environment, HANGTAG_*, below what a caller says outright. They know names and limits, not what is done with
them; a variable with the prefix that is no setting is an error, since it is most likely a misspelt one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Json, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from hangtag.errors import InvalidSettings

FacetWeight = Annotated[float, Field(ge=0, le=1_000)]

PREFIX = "HANGTAG_"
NO_STORE = "none"
DEFAULT_BUNDLE = Path(__file__).parents[1] / "models" / "hangtag-mini"


class Settings(BaseSettings):
    """What can be set. `vocabulary` None means the bundle's own; `vocabulary_dir` holds compiled vocabularies, None means that
    they are made at the start; `encoder` is a sentence-transformers model (extra `semantic`), by hub id or directory, and None
    means words alone; `memory` holds tagged listings (`hangtag memory`), and None means that none are remembered.
    `store` is the database of events and listings, `none` for none; `user_key` makes users' names in it keyed hashes.
    `facet_weights` is what tags of a facet count in recommendations, as JSON such as {"category": 2}; 1 for the others.

    `engine` runs the model: local, vllm in this process (with `engine_options`, arguments of vLLM as JSON), or remote, over
    the vLLM `servers` (addresses with commas between) that ask for `server_key` (vLLM's --api-key).

    `keys` is the file of API keys (`hangtag keys`), `rate` what a tenant may ask whose key says nothing else, such as 600/minute.
    `bundles` is the directory from which adapters may be loaded, `adapters` the file that keeps which ones are over a restart.
    At most `running` requests are worked on at a time and `waiting` more wait; each has `deadline` seconds in all."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    bundle: Path = DEFAULT_BUNDLE
    vocabulary: Path | None = None
    vocabulary_dir: Path | None = None
    encoder: str | None = None
    memory: Path | None = None
    store: str = "sqlite:///hangtag.db"
    user_key: SecretStr | None = None
    facet_weights: Json[dict[str, FacetWeight]] | None = None
    engine: Literal["local", "vllm", "remote"] = "local"
    engine_options: Json[dict[str, Any]] | None = None
    servers: str | None = None
    server_key: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    keys: Path | None = None
    rate: str | None = None
    bundles: Path | None = None
    adapters: Path | None = None
    running: int = Field(default=256, ge=1)
    waiting: int = Field(default=1024, ge=0)
    deadline: float = Field(default=60.0, gt=0, le=3600)
    log_format: Literal["text", "json"] = "text"
    traces: bool = False


def read_settings(**given: Any) -> Settings:
    """What is `given` and not None, then the environment, then the defaults. Raises `InvalidSettings`."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable in sorted(os.environ):
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            raise InvalidSettings(
                f"the environment variable {variable} is no setting; use {', '.join(sorted(known))}, or unset it", field=variable
            )
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = f"the setting {name} ({PREFIX}{name.upper()}) is {first['input']!r}: {first['msg']}"
        raise InvalidSettings(message, field=name) from error
