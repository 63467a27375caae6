"""The processor in vLLM's own server, found by its entry point: answers over HTTP, and status 400 for what can't be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hangtag.rules import AnswerRules
from serve.decoding.requests import write
from tests.vllm.served import Served, some_evidence, some_prior
from tests.vllm.server import running


@pytest.fixture(scope="module")
def server(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running(served, tmp_path_factory.mktemp("server") / "log") as client:
        yield client


def body(served: Served, xargs: dict[str, Any] | None, **others: Any) -> dict[str, Any]:
    settings = {"model": str(served.model), "prompt": served.prompt()["prompt_token_ids"], "max_tokens": 100, "temperature": 1}
    asked = {**settings, "return_token_ids": True, **others}
    return asked if xargs is None else {**asked, "vllm_xargs": xargs}


def test_an_answer_over_http(server: httpx.Client, served: Served) -> None:
    request = served.request(prior=some_prior(), evidence=some_evidence())
    for _ in range(3):
        reply = server.post("/v1/completions", json=body(served, write(request)))
        assert reply.status_code == 200, reply.text
        (choice,) = reply.json()["choices"]
        assert choice["finish_reason"] == "stop"
        served.walk(request, choice["token_ids"])


def test_an_answer_to_a_conversation(server: httpx.Client, served: Served) -> None:
    request = served.request(AnswerRules(max_tags=2, explain=False))
    asked = body(served, write(request), messages=[{"role": "user", "content": "Linen shirt"}])
    del asked["prompt"]
    reply = server.post("/v1/chat/completions", json=asked)
    assert reply.status_code == 200, reply.text
    served.walk(request, reply.json()["choices"][0]["token_ids"])


def test_requests_of_others_are_served(server: httpx.Client, served: Served) -> None:
    replies = [server.post("/v1/completions", json=body(served, xargs, temperature=0)) for xargs in (None, {"others": "x"})]
    assert [reply.status_code for reply in replies] == [200, 200]
    one, other = (reply.json()["choices"][0]["token_ids"] for reply in replies)
    assert one == other


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown vocabulary": ({"hangtag_vocabulary": "0" * 64}, "no such compiled vocabulary"),
    "a path": ({"hangtag_vocabulary": "../../etc/passwd"}, "no hash"),
    "unknown name": ({"hangtag_banned": [1]}, "is no parameter of hangtag"),
    "conflicting rules": ({"hangtag_rules": json.dumps({"min_tags": 3, "max_tags": 2})}, "below min_tags"),
    "more than there are": ({"hangtag_rules": json.dumps({"max_tags": 9})}, "only 8 tags"),
    "rules that leave too few": ({"hangtag_rules": json.dumps({"min_tags": 2, "only": [1]})}, "leave room for only 1"),
    "a banned tag that does not exist": ({"hangtag_rules": json.dumps({"banned": [8]})}, "names tag 8"),
    "an unknown facet": ({"hangtag_rules": json.dumps({"facet_limits": {"colour": 1}})}, "colour"),
    "a prior of no number": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [float("nan")]}, "must be between"),
    "a prior without end": ({"hangtag_prior_tags": [1], "hangtag_prior_weights": [float("inf")]}, "must be between"),
    "a prior of an unknown tag": ({"hangtag_prior_tags": [8], "hangtag_prior_weights": [1.0]}, "names tag 8"),
    "evidence for an unknown tag": ({"hangtag_evidence_tags": [8], "hangtag_evidence_spans": ["a"]}, "names tag 8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_kept_is_status_400(server: httpx.Client, served: Served, case: str) -> None:
    values, message = REFUSED[case]
    asked = body(served, {**write(served.request()), **values})
    content = json.dumps(asked)  # NaN and Infinity too, which JSON does not have and vLLM reads
    reply = server.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400, reply.text
    assert message in reply.json()["error"]["message"]


@pytest.mark.parametrize("others", [{"max_tokens": 16}, {"stop": "x"}, {"min_tokens": 3}, {"ignore_eos": True}])
def test_parameters_that_break_an_answer_are_status_400(server: httpx.Client, served: Served, others: dict[str, Any]) -> None:
    reply = server.post("/v1/completions", json=body(served, write(served.request()), **others))
    assert reply.status_code == 400, reply.text
    assert next(iter(others)) in reply.json()["error"]["message"]
