"""`Server`: one vLLM server, spoken to over HTTP: completions with prompt ids and hangtag's parameters, adapters, metrics. It
knows what one server says, and nothing of others beside it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from hangtag.errors import EngineError
from serve.engines.engine import GenerationRequest, most_tokens
from serve.engines.sampled import Sampled, extra_args

CONNECT_SECONDS = 5.0
"""A machine that is busy takes its time; where nobody listens, that is known at once."""
ANSWER_SECONDS = 60.0
"""For a whole answer; of one that comes in pieces, between two of them."""
ASK_SECONDS = 5.0
"""For whether it is well, which models it has, its metrics."""
LOAD_SECONDS = 120.0
IDLE_SECONDS = 4.0
"""After which a connection is not used again: less than the 5 of vLLM's server, which would close it under a request."""


class ServerFailed(EngineError):
    """It was silent, or said that it failed: another may do better."""


class ServerSilent(ServerFailed):
    """It could not be reached, gave no answer in time, or its connection broke: nothing is known of what it would have said."""


class ServerGone(ServerSilent):
    """It could not be reached."""


class ServerRefused(EngineError):
    """It is well and won't do it: it has no such vocabulary, no such adapter, or was started for something else."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a server has: the name of its base, the tokens of its context, and the names of its adapters."""

    base: str
    context: int
    adapters: frozenset[str]


class Server:
    """Belongs to the event loop that it is used in. All errors are `ServerFailed` or `ServerRefused`."""

    def __init__(self, url: str, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`key` is what the server's --api-key asks for."""
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=IDLE_SECONDS),
            transport=transport,
            trust_env=False,
        )

    async def is_well(self) -> None:
        """Returns if it is."""
        await self._ask("GET", "/health", seconds=ASK_SECONDS)

    async def model(self) -> Model:
        """What it serves."""
        reply = await self._ask("GET", "/v1/models", seconds=ASK_SECONDS)
        try:
            cards = reply.json()["data"]
            base = next(card for card in cards if card["parent"] is None)
            adapters = frozenset(str(card["id"]) for card in cards if card["parent"] is not None)
            return Model(str(base["id"]), int(base["max_model_len"]), adapters)
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise ServerFailed("what it says of its models is not what vLLM says") from error

    async def complete(self, request: GenerationRequest, model: str, likeliest: int) -> Sampled:
        """One whole answer, with so many of the likeliest tokens at each step."""
        reply = await self._ask("POST", "/v1/completions", json=_body(request, model, likeliest), seconds=ANSWER_SECONDS)
        try:
            return _sampled(reply.json(), ends=True)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ServerFailed(f"its answer can't be read: {type(error).__name__}: {error}") from error

    async def stream(self, request: GenerationRequest, model: str, likeliest: int) -> AsyncIterator[Sampled]:
        """One answer in pieces. Leaving the iteration ends the connection, and the work with it."""
        body = {**_body(request, model, likeliest), "stream": True}
        ended = False
        try:
            async with self._client.stream("POST", "/v1/completions", json=body) as reply:
                if reply.status_code != 200:
                    await reply.aread()
                    raise _refusal(reply)
                async for line in reply.aiter_lines():
                    data = line.removeprefix("data: ")
                    if data == line or data == "[DONE]":
                        continue
                    piece = json.loads(data)
                    if piece.get("choices"):
                        ended |= piece["choices"][0].get("finish_reason") is not None
                        yield _sampled(piece, ends=False)
        except httpx.HTTPError as error:
            raise _failure(error) from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ServerFailed(f"its answer can't be read: {type(error).__name__}: {error}") from error
        if not ended:
            raise ServerFailed("its answer broke off")

    async def load_adapter(self, name: str, directory: str) -> None:
        """Have it load an adapter from a directory of its own machine."""
        body = {"lora_name": name, "lora_path": directory}
        await self._ask("POST", "/v1/load_lora_adapter", json=body, seconds=LOAD_SECONDS)

    async def unload_adapter(self, name: str) -> None:
        """Have it forget one."""
        await self._ask("POST", "/v1/unload_lora_adapter", json={"lora_name": name}, seconds=LOAD_SECONDS)

    async def metrics(self) -> str:
        """Its metrics in Prometheus' text format."""
        return (await self._ask("GET", "/metrics", seconds=ASK_SECONDS)).text

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, *, seconds: float, json: Any = None) -> httpx.Response:
        try:
            timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
            reply = await self._client.request(method, path, json=json, timeout=timeout)
        except httpx.HTTPError as error:
            raise _failure(error) from error
        if reply.status_code != 200:
            raise _refusal(reply)
        return reply


def _body(request: GenerationRequest, model: str, likeliest: int) -> dict[str, Any]:
    """A completion, greedy. What a server may take from its model's generation_config.json is said outright: penalties would
    change which tag wins."""
    return {
        "model": model,
        "prompt": list(request.prompt),
        "max_tokens": most_tokens(request.codec, request.rules),
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": likeliest,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "vllm_xargs": extra_args(request),
        **({"cache_salt": request.cache_salt} if request.cache_salt else {}),
    }


def _sampled(reply: Mapping[str, Any], *, ends: bool) -> Sampled:
    (choice,) = reply["choices"]
    if choice["finish_reason"] not in (("stop",) if ends else (None, "stop")):
        raise ServerFailed(f"it ended an answer early ({choice['finish_reason']})")
    ids = [int(token) for token in choice["token_ids"] or ()]
    if not ids:
        return Sampled((), (), ())
    said = choice["logprobs"]
    logprobs = [float(value) for value in said["token_logprobs"]]
    tops: Sequence[Mapping[str, float] | None] = said["top_logprobs"] or [None] * len(ids)
    likeliest = [{int(name.removeprefix("token_id:")): float(value) for name, value in (top or {}).items()} for top in tops]
    if not len(ids) == len(logprobs) == len(likeliest):
        raise ValueError(f"{len(ids)} tokens, {len(logprobs)} log-probabilities")
    details = (reply.get("usage") or {}).get("prompt_tokens_details") or {}  # with --enable-prompt-tokens-details
    return Sampled(ids, logprobs, likeliest, details.get("cached_tokens"))


def _refusal(reply: httpx.Response) -> EngineError:
    try:
        said = reply.json()["error"]
        message = str(said["message"] if isinstance(said, dict) else said)
    except (ValueError, KeyError, TypeError):
        message = reply.text[:200] or reply.reason_phrase
    kind = ServerFailed if reply.status_code >= 500 or reply.status_code in (408, 429) else ServerRefused
    return kind(f"it says {reply.status_code}: {' '.join(message.split())[:500]}")


def _failure(error: httpx.HTTPError) -> ServerSilent:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ServerGone(f"it can't be reached: {error or 'in time'}")
    if isinstance(error, httpx.TimeoutException):
        return ServerSilent("it gave no answer in time")
    return ServerSilent(f"the connection broke: {error or type(error).__name__}")
