"""`/v1/users/{user}/recommendations`, `/v1/users/{user}/tags` and `/v1/products/{id}/similar`: products and tags by interests. It
never logs who asked about whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from hangtag.errors import UnknownLanguage
from hangtag.vocabulary import TagVocabulary
from serve.products import Recommendation
from serve.recommending import Basis, Recommended
from serve.state import TheCaller, TheCallersSuggester, TheShelf
from serve.wire import Wire

router = APIRouter()

MOST = 100
DIVERSITY = 0.25
"""Unless it is said: a list of different things that costs next to nothing (LOG.md)."""

NOTICES = {
    Basis.TRENDING: "no product suits what is known of this user; these are what users asked for most in the last 30 days",
    Basis.POPULAR: "no product suits what is known of this user; these are what users asked for most",
    Basis.NOTHING: "nothing is known of this user, and no product was asked for yet",
}

Count = Annotated[int, Query(ge=1, le=MOST, description="The most products or tags.")]
Diversity = Annotated[float, Query(ge=0, le=1, description="0: whatever suits best, 1: as different as can be.")]
Language = Annotated[str | None, Query(description="Of labels: en, zh, ...; left out: ids stand for labels.")]


class TagBody(Wire):
    """A tag; `score` is comparable within one answer."""

    id: str
    label: str
    score: float


class ProductBody(Wire):
    """A product of the catalogue, how well it suits (comparable within one answer), and the tags that speak for it."""

    id: str
    score: float
    tags: list[str] = Field(description="By id.")
    reasons: list[str] = Field(description="Labels of the tags that brought it here, the strongest first.")


class RecommendationsBody(Wire):
    """Products, best first. `basis` is what they rest on; notices say so where it is not the user's interests."""

    basis: Basis
    products: list[ProductBody]
    notices: list[str]


class SimilarBody(Wire):
    """Products with similar tags, best first."""

    products: list[ProductBody]


class UserTagsBody(Wire):
    """A user's tags, best first."""

    tags: list[TagBody]


@router.get("/v1/users/{user:path}/recommendations", summary="Products for a user")
async def recommendations(
    caller: TheCaller,
    user: str,
    suggester: TheCallersSuggester,
    shelf: TheShelf,
    count: Count = 10,
    diversity: Diversity = DIVERSITY,
    language: Language = None,
    include_seen: Annotated[bool, Query(description="Also what events of the user were about.")] = False,
) -> RecommendationsBody:
    """Products in stock by the interests of the user, each with its reasons; what is in demand for a user nobody knows yet."""
    labels = _labels(suggester.vocabulary, language)
    found: Recommended = await shelf.recommend(
        lambda recommender: recommender.for_user(
            caller.tenant, user, suggester.vocabulary, count, diversity=diversity, include_seen=include_seen
        )
    )
    notices = [NOTICES[found.basis]] if found.basis in NOTICES else []
    return RecommendationsBody(basis=found.basis, products=_products(found.products, labels), notices=notices)


@router.get("/v1/products/{id:path}/similar", summary="Products like one")
async def similar(
    caller: TheCaller,
    id: str,
    suggester: TheCallersSuggester,
    shelf: TheShelf,
    count: Count = 10,
    diversity: Diversity = 0.0,
    language: Language = None,
) -> SimilarBody:
    """Products in stock whose tags are most like those of this one. 404 where there is none."""
    labels = _labels(suggester.vocabulary, language)
    found = await shelf.recommend(
        lambda recommender: recommender.like(caller.tenant, id, suggester.vocabulary, count, diversity=diversity)
    )
    return SimilarBody(products=_products(found, labels))


@router.get("/v1/users/{user:path}/tags", summary="A user's tags")
async def tags(
    caller: TheCaller,
    user: str,
    suggester: TheCallersSuggester,
    shelf: TheShelf,
    count: Count = 10,
    product: Annotated[str | None, Query(description="Rank them for this product of the catalogue.")] = None,
    language: Language = None,
) -> UserTagsBody:
    """What the user is interested in; with a product, the tags that this user would likely give it."""
    labels = _labels(suggester.vocabulary, language)
    found = await shelf.recommend(lambda recommender: recommender.tags(caller.tenant, user, suggester.vocabulary, count, product))
    return UserTagsBody(tags=[TagBody(id=tag, label=labels.get(tag, tag), score=score) for tag, score in found])


def _labels(vocabulary: TagVocabulary, language: str | None) -> dict[str, str]:
    """Labels by id. Raises `UnknownLanguage`."""
    if language is None:
        return {}
    if not vocabulary.speaks(language):
        raise UnknownLanguage(f"the vocabulary has no labels in {language!r}", field="language")
    return dict(zip((tag.id for tag in vocabulary), vocabulary.written(language), strict=True))


def _products(found: Sequence[Recommendation], labels: dict[str, str]) -> list[ProductBody]:
    return [
        ProductBody(
            id=each.product.id,
            score=each.score,
            tags=list(each.product.tags),
            reasons=[labels.get(tag, tag) for tag in each.reasons],
        )
        for each in found
    ]
