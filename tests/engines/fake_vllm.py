"""A vLLM server in small: the routes, bodies and errors of the real one (to which `tests/vllm` holds the engine), over a model
whose logits are drawn from the prompt. It can be told to fail in the ways in which a real one does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hangtag.answer import AnswerCodec
from hangtag.constraint import Allowed
from hangtag.errors import HangtagError
from hangtag.state import Phase
from serve.decoding.requests import read

LOADED = "vllm:num_requests_running"


@dataclass
class FakeVllm:
    """`codecs` are those of its HANGTAG_VOCABULARY_DIR. `prior_counts` is how often; `status` what every completion gives instead
    of an answer; `breaks_after` the pieces after which a stream breaks off; `tells_cached`, whether it has
    --enable-prompt-tokens-details."""

    codecs: list[AnswerCodec]
    context: int = 512
    masks: bool = True
    prior_counts: int = 1
    processed_logprobs: bool = True
    status: int = 200
    breaks_after: int | None = None
    is_there: bool = True
    is_well: bool = True
    takes_adapters: bool = True
    tells_cached: bool = True
    hold: asyncio.Event | None = None
    adapters: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    cancelled: int = 0

    def let_go(self) -> None:
        """What it holds goes on; said from another thread."""
        held, self.hold = self.hold, None
        assert held is not None
        self._loop.call_soon_threadsafe(held.set)

    @property
    def app(self) -> Starlette:
        routes = [
            Route("/health", self._health),
            Route("/v1/models", self._models),
            Route("/v1/completions", self._completions, methods=["POST"]),
            Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
            Route("/metrics", self._metrics),
        ]
        return Starlette(routes=routes)

    async def _health(self, _: Request) -> Response:
        return Response(status_code=200 if self.is_well else 503)

    async def _models(self, _: Request) -> Response:
        cards = [{"id": "base", "parent": None, "max_model_len": self.context}]
        cards += [{"id": name, "parent": "base", "max_model_len": None} for name in self.adapters]
        return JSONResponse({"object": "list", "data": cards})

    async def _metrics(self, _: Request) -> Response:
        return PlainTextResponse(f'# HELP {LOADED} Running.\n# TYPE {LOADED} gauge\n{LOADED}{{engine="0"}} 2.0\nplain 1\n')

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        if not self.takes_adapters:
            return _error(404, "Not Found")
        if body["lora_path"].endswith("other"):
            return _error(500, "shapes do not fit")
        self.adapters[body["lora_name"]] = body["lora_path"]
        return PlainTextResponse("Success")

    async def _unload(self, request: Request) -> Response:
        self.adapters.pop((await request.json())["lora_name"])
        return PlainTextResponse("Success")

    async def _completions(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if self.hold is not None:
            self._loop = asyncio.get_running_loop()
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.status != 200:
            return _error(self.status, "out of memory")
        if body["model"] not in ("base", *self.adapters):
            return _error(404, f"The model `{body['model']}` does not exist.")
        try:
            ids, logprobs, tops = self._decode(body)
        except HangtagError as error:
            return _error(400, str(error))
        if body.get("stream"):
            return StreamingResponse(self._pieces(ids, logprobs, tops), media_type="text/event-stream")
        usage = {"prompt_tokens_details": {"cached_tokens": 1}} if self.tells_cached else {"prompt_tokens_details": None}
        return JSONResponse({"choices": [_choice(ids, logprobs, tops, "stop")], "usage": usage})

    async def _pieces(self, ids: list[int], logprobs: list[float], tops: list[dict[str, float]]) -> AsyncIterator[str]:
        for position in range(len(ids)):
            if position == self.breaks_after:
                return
            one = slice(position, position + 1)
            choice = _choice(ids[one], logprobs[one], tops[one], "stop" if position == len(ids) - 1 else None)
            yield f"data: {json.dumps({'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"

    def _decode(self, body: dict[str, Any]) -> tuple[list[int], list[float], list[dict[str, float]]]:
        asked = read(body["vllm_xargs"])
        assert asked is not None
        codec = next((codec for codec in self.codecs if codec.compiled.hash == asked.vocabulary), None)
        if codec is None:
            raise HangtagError("there is no such compiled vocabulary")
        constraint = asked.constraint(codec.compiled, codec.grammar)
        model = np.random.default_rng(body["prompt"])
        state, ids, chosen, tops = constraint.start(), list[int](), list[float](), list[dict[str, float]]()
        while state.phase is not Phase.DONE:
            logits = model.normal(size=codec.tokenizer.size)
            allowed = constraint.allowed(state)
            logprobs = _log_softmax(self._masked(logits, allowed))
            token = int(logprobs.argmax())
            said = logprobs if self.processed_logprobs else _log_softmax(logits)
            best = np.argsort(-logprobs)[: body["logprobs"]]
            ids.append(token)
            chosen.append(float(said[token]))
            tops.append({f"token_id:{one}": max(float(said[one]), -9999.0) for one in best.tolist()})
            if token not in allowed.tokens:
                return [*ids, codec.eos_id], [*chosen, 0.0], [*tops, {}]
            state = constraint.advance(state, token)
        return ids, chosen, tops

    def _masked(self, logits: NDArray[np.float64], allowed: Allowed) -> NDArray[np.float64]:
        if not self.masks:
            return logits
        masked = np.full_like(logits, -np.inf)
        masked[allowed.tokens] = logits[allowed.tokens] + self.prior_counts * allowed.bias
        return masked


def _choice(ids: list[int], logprobs: list[float], tops: list[dict[str, float]], reason: str | None) -> dict[str, Any]:
    said = {"token_logprobs": logprobs, "top_logprobs": tops, "tokens": [f"token_id:{token}" for token in ids]}
    return {"index": 0, "text": "", "token_ids": ids, "logprobs": said, "finish_reason": reason}


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max()
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return result


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "Error", "code": status}}, status)
