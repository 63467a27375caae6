"""`/v1/listings`: the merchant's catalogue, which the memory learns from at once. It never logs a listing's text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from serve.learning import forget, learn
from serve.routes.parts import Parts
from serve.state import TheCaller, TheCallersSuggester, TheShelf
from serve.store_schemas import LISTING_EXAMPLE, DoneBody, ListingBody, ListingsBody, OneOrManyListings, StoredBody

router = APIRouter()

EXAMPLES = {
    "one": {"summary": "One listing", "value": LISTING_EXAMPLE},
    "many": {"summary": "Many", "value": {"listings": [LISTING_EXAMPLE]}},
}


@router.post("/v1/listings", summary="Add listings to the catalogue, or change them")
async def put(
    caller: TheCaller,
    body: Annotated[OneOrManyListings, Body(openapi_examples=EXAMPLES)],
    suggester: TheCallersSuggester,
    shelf: TheShelf,
) -> StoredBody:
    """One listing, or `listings`: all of them or none; one with a known id replaces what was there. Those with tags help with
    the next suggestion, where the server has a memory."""
    given = body.listings if isinstance(body, ListingsBody) else [body]
    parts = Parts("listings", len(given), alone=not isinstance(body, ListingsBody))
    with parts.told():
        products = parts.each(given, lambda each: each.product(suggester.vocabulary))
        await shelf.use(lambda store: store.put_products(caller.tenant, products))
    remembered, notices = await learn(suggester.memory, caller.tenant, products)
    return StoredBody(stored=len({product.listing.id for product in products}), remembered=remembered, notices=notices)


@router.get("/v1/listings/{id:path}", summary="A listing of the catalogue")
async def get(caller: TheCaller, id: str, shelf: TheShelf) -> ListingBody:
    """As it was added; tags by id. 404 where there is none."""
    return ListingBody.of(await shelf.use(lambda store: store.product(caller.tenant, id)))


@router.delete("/v1/listings/{id:path}", summary="Delete a listing")
async def delete(caller: TheCaller, id: str, suggester: TheCallersSuggester, shelf: TheShelf) -> DoneBody:
    """From the catalogue and the memory; what users did with it stays theirs. 404 where there is none."""
    try:
        await shelf.use(lambda store: store.remove_product(caller.tenant, id))
    finally:  # feedback on a product that the catalogue lacks may have taught the memory
        notices = await forget(suggester.memory, caller.tenant, [id])
    return DoneBody(notices=notices)
