"""`/v1/users`: all that is held of a user, given out or deleted. It never logs who asked about whom."""

from __future__ import annotations

from fastapi import APIRouter

from serve.state import TheCaller, TheShelf
from serve.store_schemas import GoneBody, HeldBody

router = APIRouter()


@router.get("/v1/users/{user:path}/export", summary="All that is held of a user")
async def export(caller: TheCaller, user: str, shelf: TheShelf) -> HeldBody:
    """Events, interests and suggestions; empty lists for a user that nobody knows."""
    return HeldBody.of(user, await shelf.use(lambda store: store.export(caller.tenant, user)))


@router.delete("/v1/users/{user:path}", summary="Forget a user")
async def delete(caller: TheCaller, user: str, shelf: TheShelf) -> GoneBody:
    """No row of the user is left, no interest and no suggestion that had interests in it; how much that was."""
    return GoneBody.of(await shelf.use(lambda store: store.remove_user(caller.tenant, user)))
