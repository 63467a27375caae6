"""A merchant's rules from the request to the answer: what the prompt shows, what the prior names, what comes, what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hangtag.bundle import write_manifest
from hangtag.errors import EngineError, InvalidRules
from hangtag.history import Event, InterestProfile
from hangtag.listing import Listing
from hangtag.tag_rules import TagRules
from serve.app import create_app
from serve.engines.engine import Generation, GenerationRequest
from serve.schemas import MOST_NAMED, RULES_EXAMPLE
from serve.state import Services
from serve.suggester import Suggester, SuggestionRequest
from tests.tiny import FailingEngine, suggester_with

PATH = "/v1/suggestions"
LISTING = Listing(title="Linen shirt, cotton lining", description="Waterproof shoes for hot days, headphones with ANC.")
TEMPLATE = """\
{% block user %}{{ candidates | join(";") }}
{{ interests | join(";") }}
{{ min_tags }}-{{ max_tags }}
{{ lines | join(" ") }}{% endblock %}
"""


class RecordingEngine(FailingEngine):
    """Remembers what it was asked, and fails."""

    async def generate(self, request: GenerationRequest) -> Generation:
        self.request = request
        return await super().generate(request)


@pytest.fixture(scope="module")
def telling(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose prompt shows candidates, interests and limits."""
    directory = tmp_path_factory.mktemp("telling") / "bundle"
    shutil.copytree(tiny_bundle, directory)
    (directory / "mini.j2").write_text(TEMPLATE, encoding="utf-8")
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(directory, manifest, {name: part["path"] for name, part in manifest.pop("components").items()})
    return directory


def asked(directory: Path, **options: Any) -> tuple[list[str], list[str], str, GenerationRequest]:
    """Candidates, interests and limits of the prompt, and what the engine was asked."""
    engine = RecordingEngine()
    suggester = suggester_with(engine, directory)
    with pytest.raises(EngineError):
        asyncio.run(suggester.suggest(SuggestionRequest(LISTING, **options)))
    text = suggester._tokenizer.decode(list(engine.request.prompt))
    candidates, interests, limits = text.split("\n")[:3]
    return candidates.split(";"), interests.split(";"), limits, engine.request


def answered(suggester: Suggester, **options: Any) -> set[str]:
    return {found.tag.id for found in asyncio.run(suggester.suggest(SuggestionRequest(LISTING, **options))).tags}


def test_banned_tags_are_in_no_prompt_and_no_prior(telling: Path) -> None:
    now = datetime.now(UTC)
    suggester = suggester_with(FailingEngine(), telling)
    events = [Event("purchase", now - timedelta(minutes=1), ("material/linen", "category/shoes"))]
    profile = InterestProfile.from_events(events, suggester.vocabulary, now=now)
    candidates, interests, limits, request = asked(telling, profile=profile)
    assert {"Linen", "Shirts", "Shoes"} <= set(candidates)
    assert set(interests) == {"Linen", "Shoes"}
    assert limits == "1-5"
    linen, shirts = map(suggester.vocabulary.index, ("material/linen", "category/shirts"))
    assert linen in request.prior.weights
    assert linen in request.evidence.spans

    rules = TagRules(banned=("material/linen", "category/shirts"))
    candidates, interests, limits, request = asked(telling, profile=profile, rules=rules)
    assert not {"Linen", "Shirts"} & set(candidates)
    assert interests == ["Shoes"]
    assert not {linen, shirts} & set(request.prior.weights)
    assert linen not in request.evidence.spans
    assert request.rules.banned == {linen, shirts}


def test_candidates_are_found_among_the_tags_that_may_come(telling: Path) -> None:
    candidates, _, limits, request = asked(telling, rules=TagRules(only=("season/summer", "material/cotton")))
    assert set(candidates) == {"Summer", "Cotton"}
    assert limits == "1-2"
    assert len(request.prior.weights) == 2


@pytest.mark.parametrize(
    ("rules", "least", "most"),
    [
        (TagRules(only=("season/summer",)), 1, 1),
        (TagRules(facet_limits={"category": 1, "material": 1, "feature": 0}), 1, 3),
        (TagRules(only=("category/shoes", "category/shirts", "season/summer"), facet_limits={"category": 1}), 0, 2),
        (TagRules(banned=("season/summer",)), 1, 5),
        (TagRules(banned=("season/summer",)), 6, 6),
    ],
)
def test_max_tags_is_as_many_as_there_is_room_for(
    telling: Path, suggester: Suggester, rules: TagRules, least: int, most: int
) -> None:
    _, _, limits, request = asked(telling, min_tags=least, rules=rules)
    assert limits == f"{least}-{most}"
    assert request.rules.max_tags == most
    assert least <= len(answered(suggester, min_tags=least, rules=rules, explain=False)) <= most


def test_answers_keep_to_the_rules(suggester: Suggester) -> None:
    every = {tag.id for tag in suggester.vocabulary}
    assert answered(suggester, min_tags=6, max_tags=8, rules=TagRules(banned=("category/shoes", "material/linen"))) == every - {
        "category/shoes",
        "material/linen",
    }
    assert answered(suggester, rules=TagRules(only=("category/shoes",))) == {"category/shoes"}
    limited = answered(
        suggester, min_tags=4, max_tags=8, rules=TagRules(facet_limits={"category": 1, "material": 1, "feature": 1})
    )
    assert sorted(tag_id.split("/")[0] for tag_id in limited) == ["category", "feature", "material", "season"]
    group = ("material/linen", "material/cotton", "season/summer")
    assert len(answered(suggester, min_tags=6, max_tags=8, rules=TagRules(exclusions=(group,))) & set(group)) == 1


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"rules": TagRules(banned=("Linen",))}, "rules.banned[0]", "did you mean 'material/linen' (Linen)?"),
        ({"rules": TagRules(only=())}, "rules.only", "leave no tag at all"),
        ({"rules": TagRules(facet_limits={"size": 1})}, "rules.facet_limits", "facets: category, feature, material, season"),
        ({"rules": TagRules(only=("season/summer",)), "min_tags": 2}, "min_tags", "leave room for only 1"),
        ({"rules": TagRules(facet_limits={"category": 1}), "min_tags": 7}, "min_tags", "leave room for only 6"),
        ({"rules": TagRules(exclusions=(("category/shoes", "category/shirts"),)), "min_tags": 8}, "min_tags", "only 7 tags"),
        ({"rules": TagRules(banned=("season/summer",)), "max_tags": 9}, "max_tags", "has only 8 tags"),
    ],
)
def test_rules_that_can_not_be_kept_are_refused(suggester: Suggester, options: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        answered(suggester, **options)
    assert raised.value.field == field
    assert message in str(raised.value)


@pytest.fixture(scope="module")
def client(suggester: Suggester) -> TestClient:
    return TestClient(create_app(Services(suggester)))


def test_the_api_takes_rules(client: TestClient) -> None:
    rules = {"only": ["category/shoes", "season/summer"], "facet_limits": {"category": 0}, "parent_or_child": True}
    response = client.post(PATH, json={"title": "Linen", "explain": False, "rules": rules})
    assert [tag["id"] for tag in response.json()["tags"]] == ["season/summer"]
    response = client.post(PATH, json=RULES_EXAMPLE)
    ids = {tag["id"] for tag in response.json()["tags"]}
    assert "category/shoes" not in ids
    assert len(ids & {"material/linen", "material/cotton"}) <= 1
    examples = client.get("/openapi.json").json()["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples["rules"]["value"] == RULES_EXAMPLE


@pytest.mark.parametrize(
    ("rules", "type", "field", "message"),
    [
        ({"banned": ["x", "linen"]}, "InvalidRules", "rules.banned[0]", "no tag with the id 'x'"),
        ({"banned": ["category/shoe"]}, "InvalidRules", "rules.banned[0]", "did you mean 'category/shoes' (Shoes)?"),
        ({"only": []}, "InvalidRules", "rules.only", "leave no tag at all"),
        ({"only": ["\ud800"]}, "InvalidRules", "rules.only[0]", "no tag with the id"),
        ({"exclusions": [["category/shoes"]]}, "InvalidRules", "rules.exclusions[0]", "two of them at least"),
        ({"facet_limits": {"size": 1}}, "InvalidRules", "rules.facet_limits", "no facet 'size'"),
        ({"facet_limits": {"category": -1}}, "InvalidRules", "rules.facet_limits", "can't be negative"),
        ({"facet_limits": {"category": True}}, "InvalidRequest", "rules.facet_limits.category", "valid integer"),
        ({"facet_limits": {str(n): 1 for n in range(101)}}, "InvalidRequest", "rules.facet_limits", "at most 100"),
        ({"banned": ["a"] * (MOST_NAMED + 1)}, "InvalidRequest", "rules.banned", "at most 10000"),
        ({"exclusions": [["a"] * 101]}, "InvalidRequest", "rules.exclusions[0]", "at most 100"),
        ({"exclusions": [["a", "b"]] * 101}, "InvalidRequest", "rules.exclusions", "at most 100"),
        ({"banned": "category/shoes"}, "InvalidRequest", "rules.banned", "valid list"),
        ({"ban": ["category/shoes"]}, "InvalidRequest", "rules.ban", "unknown field 'rules.ban'; use banned, only"),
        ([], "InvalidRequest", "rules", ""),
    ],
)
def test_the_api_says_which_rule_is_wrong(client: TestClient, rules: Any, type: str, field: str, message: str) -> None:
    response = client.post(PATH, content=json.dumps({"title": "a", "rules": rules}), headers={"content-type": "application/json"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["type"], error["field"]) == (type, field)
    assert message in error["message"]


def test_too_many_tags_for_the_rules_are_422(client: TestClient) -> None:
    body = {"title": "a", "min_tags": 2, "rules": {"only": ["season/summer"]}}
    error = client.post(PATH, json=body).json()["error"]
    assert (error["type"], error["field"]) == ("InvalidRules", "min_tags")
    assert "leave room for only 1" in error["message"]
