import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from serve.state import Services
from tests.serve.asking import LISTING, PATH, asking
from tests.tiny import FailingEngine, suggester_with
from tests.walking import WalkingEngine


def samples(text: str) -> dict[str, float]:
    """By name and labels; every family is described once."""
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_was_answered_is_counted_under_vllms_names(tiny_bundle: Path) -> None:
    async def scene() -> None:
        engine = WalkingEngine()
        async with asking(Services(suggester_with(engine, tiny_bundle))) as client:
            for _ in range(2):
                await client.post(PATH, json=LISTING)
            await client.post(f"{PATH}?stream=true", json=LISTING)
            await client.post(PATH, json={"title": ""})
            await client.post(PATH, json={**LISTING, "adapter": "none"})
            response = await client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(response.text)
        prompts = sum(len(request.prompt) for request in engine.requests)
        assert found["hangtag:prompt_tokens_total"] == prompts
        assert found["hangtag:generation_tokens_total"] > 6
        assert found["hangtag:prefix_cache_queries_total"] == prompts
        assert found["hangtag:prefix_cache_hits_total"] == prompts - 3, "WalkingEngine says that one token of each was new"
        assert found["hangtag:e2e_request_latency_seconds_count"] == 3
        assert found["hangtag:request_queue_time_seconds_count"] == 3
        assert found["hangtag:request_inference_time_seconds_count"] == 3
        assert found["hangtag:time_to_first_token_seconds_count"] == 1
        assert found["hangtag:request_success_total"] == 3
        assert found["hangtag:request_failures_total error=InvalidListing"] == 1
        assert found["hangtag:request_failures_total error=UnknownAdapter"] == 1
        assert found["hangtag:suggestions_total language=en model_name=tiny@1"] == 3
        assert found["hangtag:suggestion_tags_count"] == 3
        assert found["hangtag:suggestion_tags_sum"] == 6
        assert found["hangtag:num_requests_running"] == found["hangtag:num_requests_waiting"] == 0
        assert found["vllm:num_requests_running engine=0"] == 0

    asyncio.run(scene())


def test_an_answer_without_a_tag_is_an_abstention(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(abstains=True), tiny_bundle))) as client:
            answer = (await client.post(PATH, json={**LISTING, "min_tags": 0})).json()
            found = samples((await client.get("/metrics")).text)
        assert answer["tags"] == []
        assert found["hangtag:abstentions_total model_name=tiny@1"] == 1
        assert found["hangtag:suggestion_tags_bucket le=0.0"] == 1

    asyncio.run(scene())


def test_an_engine_without_metrics_has_none(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(FailingEngine(), tiny_bundle))) as client:
            await client.post(PATH, json=LISTING)
            found = samples((await client.get("/metrics")).text)
        assert found["hangtag:request_failures_total error=EngineError"] == 1
        assert found["hangtag:request_success_total"] == 0
        assert found["hangtag:prefix_cache_queries_total"] == 0
        assert not any(name.startswith("vllm:") for name in found)

    asyncio.run(scene())
