"""What users of a tenant asked for lately, product by product, and what of it the catalogue still has. It knows rows, no tags."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, case, func, select

from hangtag.history import EVENT_WEIGHTS
from serve.store.tables import events, products, users

CHUNK = 500
"""Values in one look-up."""


def wanted(connection: Connection, tenant: str, since: int, count: int) -> list[str]:
    """The `count` products with the largest sum of the weights of their events since then (µs), most wanted first; none that
    events spoke against."""
    weight = func.sum(case(EVENT_WEIGHTS, value=events.c.type, else_=0.0))
    query = (
        select(events.c.product)
        .join(users, users.c.id == events.c.user_id)
        .where(users.c.tenant == tenant, events.c.at >= since, events.c.product != "")
        .group_by(events.c.product)
        .having(weight > 0)
        .order_by(weight.desc(), events.c.product)
        .limit(count)
    )
    return list(connection.execute(query).scalars())


def tenants(connection: Connection, count: int) -> list[str]:
    """The `count` tenants whose catalogues were changed last."""
    latest = func.max(products.c.changed)
    query = select(products.c.tenant).group_by(products.c.tenant).order_by(latest.desc(), products.c.tenant).limit(count)
    return list(connection.execute(query).scalars())


def latest_change(connection: Connection, tenant: str) -> int:
    """When the tenant's catalogue was changed last (µs), as far as it was added to or altered; 0 for an empty one."""
    return int(connection.execute(select(func.max(products.c.changed)).where(products.c.tenant == tenant)).scalar() or 0)


def existing(connection: Connection, tenant: str, ids: Collection[str]) -> set[str]:
    """Those of the products that the catalogue has."""
    found: set[str] = set()
    wanted_ids = sorted(ids)
    for start in range(0, len(wanted_ids), CHUNK):
        some = wanted_ids[start : start + CHUNK]
        query = select(products.c.product).where(products.c.tenant == tenant, products.c.product.in_(some))
        found.update(connection.execute(query).scalars())
    return found
