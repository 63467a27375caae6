"""What the memory learns from the catalogue and from feedback, the moment it is known. It knows listings and tags, no route.

The memory is the server's, as the vocabulary is: listings of all tenants help with the listings of all, by their tags; nobody
sees another's listing. Where nothing can be remembered (another process is writing), the catalogue keeps it all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hangtag.errors import InvalidMemory, UnknownItem
from hangtag.vocabulary import TagVocabulary
from serve.keys import LOCAL_TENANT
from serve.memory import Memory
from serve.store import Feedback, Product, Recorded, Store


async def learn(memory: Memory | None, tenant: str, products: Sequence[Product]) -> tuple[int, list[str]]:
    """Remember the products that have tags and forget the others: how many are remembered, and notices."""
    if memory is None:
        return 0, []
    latest = {product.listing.id: product for product in products}
    tagged = [replace(p, listing=replace(p.listing, id=_name(tenant, id))) for id, p in latest.items() if p.tags]
    bare = [_name(tenant, id) for id, product in latest.items() if not product.tags]

    def work() -> None:
        if tagged:
            memory.add(tagged)
        if bare:
            memory.remove(bare)

    notices = await _tried(work)
    return (0 if notices else len(tagged)), notices


async def forget(memory: Memory | None, tenant: str, ids: Sequence[str]) -> list[str]:
    """Forget products by their ids; notices."""
    return await _tried(lambda: memory.remove([_name(tenant, id) for id in ids])) if memory is not None else []


def corrected(store: Store, tenant: str, recorded: Recorded, feedback: Feedback, vocabulary: TagVocabulary) -> Product | None:
    """The listing of a suggestion with the tags that it has as far as anybody said: the catalogue's and the right ones, without
    those that were rejected, and without those that the vocabulary has not (any more). A listing without an id is called after
    its suggestion; made for a user, it is theirs, and None: the memory could not forget it with them."""
    if recorded.user is not None and not recorded.listing.id:
        return None
    known: tuple[str, ...] = ()
    if recorded.listing.id:
        with suppress(UnknownItem):
            known = store.product(tenant, recorded.listing.id).tags
    said = dict.fromkeys((*known, *feedback.right))
    tags = tuple(tag for tag in said if tag not in feedback.rejected and tag in vocabulary)
    listing = recorded.listing if recorded.listing.id else replace(recorded.listing, id=f"suggestion {recorded.id}")
    return Product(listing, tags)


async def _tried(work: Callable[[], object]) -> list[str]:
    try:
        await asyncio.to_thread(work)
    except InvalidMemory as error:
        return [f"nothing was remembered: {error}"]
    return []


def _name(tenant: str, id: str) -> str:
    """What a tenant's listing is called in the memory; those of the one tenant of a server without keys as in its files."""
    return id if tenant == LOCAL_TENANT else f"{tenant}: {id}"
