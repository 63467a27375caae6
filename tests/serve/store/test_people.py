from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from hangtag.errors import InvalidFeedback, InvalidListing, UnknownItem
from hangtag.listing import Listing
from serve.store import Feedback, Product, Purged, Store, catalogue, profiles
from serve.store.profiles import EVERY_TAG, FOLD
from serve.store.tables import metadata, tag_users
from tests.serve.store.shop import HEADPHONES, NOW, SHIRT, SHOP, VOCABULARY, did


def rows(store: Store) -> dict[str, int]:
    """How many rows each table has."""
    with store.database.read() as connection:
        return {name: len(connection.execute(table.select()).all()) for name, table in metadata.tables.items()}


def counted(store: Store, tenant: str = SHOP) -> dict[str, int]:
    with store.database.read() as connection:
        found = connection.execute(tag_users.select().where(tag_users.c.tenant == tenant))
        return {row.tag: row.users for row in found}


def test_deleting_the_only_user_leaves_no_row(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Red", hours=hours) for hours in range(FOLD + 5)])
    kept = store.record(SHOP, Listing("Linen shirt"), ["Linen", "Red"], "u", teaches=False)
    store.give_feedback(SHOP, kept, Feedback(accepted=("Linen",)))
    assert store.remove_user(SHOP, "u") == Purged(events=FOLD + 6, users=1, suggestions=1)
    assert set(rows(store).values()) == {0}
    assert store.remove_user(SHOP, "u") == Purged()


def test_what_a_transaction_changes_of_tags_is_counted_once_and_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for user, tag in (("u1", "Red"), ("u2", "Linen"), ("u3", "Bluetooth")):
        store.add_events(SHOP, [did(user, "view", tag)])
    kept = store.record(SHOP, Listing("x", id="X1"), ["Linen", "Red"], "u1", teaches=False)
    assert kept is not None
    store.give_feedback(SHOP, kept, Feedback(("Linen",)))
    seen: list[list[str]] = []
    count = profiles.count

    def noted(connection: Connection, tenant: str, gained: Mapping[str, int]) -> None:
        seen.append(sorted(tag for tag, change in gained.items() if change))
        count(connection, tenant, gained)

    monkeypatch.setattr(profiles, "count", noted)
    store.give_feedback(SHOP, kept, Feedback(("Red",), ("Linen",)))
    assert len(seen) == 1
    store.purge(timedelta(hours=-1))
    assert [tags for tags in seen[1:] if tags] == [["", "Bluetooth", "Linen", "Red"]]


def test_how_many_users_have_a_tag_follows_them(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Red", "Linen"), did("v", "dislike", "Red"), did("w", "view", "Red", hours=99)])
    store.add_events(SHOP, [did("u", "view", "Red", hours=2)] * 3)
    assert counted(store) == {EVERY_TAG: 3, "Red": 3, "Linen": 1}
    store.purge(timedelta(hours=50))
    assert counted(store) == {EVERY_TAG: 2, "Red": 2, "Linen": 1}
    store.remove_user(SHOP, "u")
    assert counted(store) == {EVERY_TAG: 1, "Red": 1}


def test_what_is_older_goes_and_interests_are_those_of_the_rest(store: Store) -> None:
    young = [did("u", "view", "Linen", hours=hours) for hours in range(40)]
    old = [did("u", "like", "Red", hours=101 + hours) for hours in range(40)]
    store.add_events(SHOP, [event for pair in zip(young, old, strict=True) for event in pair])
    store.add_events("other", [did("v", "view", "Red", hours=101)])
    impersonal = store.record(SHOP, SHIRT.listing, ["Linen"])
    heard: list[Purged] = []
    assert store.purge(timedelta(hours=100), heard.append) == Purged(events=41, users=1)
    assert heard[-1].events == 41
    exact = store.exact_profile(SHOP, "u", VOCABULARY).weights
    assert list(exact) == [3]
    assert store.profile(SHOP, "u", VOCABULARY).weights == pytest.approx(exact, rel=0.001)
    assert store.history("other", "v") == []
    store.add_events(SHOP, [did("u", "like", "Red", hours=1)])
    assert set(store.profile(SHOP, "u", VOCABULARY).weights) == {2, 3}
    assert store.purge(timedelta(hours=-1)).suggestions == 1
    with pytest.raises(UnknownItem):
        store.give_feedback(SHOP, impersonal, Feedback(accepted=("Linen",)))


def test_feedback_on_a_listing_outlives_retention_and_feedback_for_a_user_does_not(store: Store) -> None:
    for user in (None, "u"):
        kept = store.record(SHOP, SHIRT.listing, ["Linen"], user)
        store.give_feedback(SHOP, kept, Feedback(accepted=("Linen",)))
    assert len(list(store.feedback(SHOP))) == 2
    assert store.purge(timedelta(hours=-1)) == Purged(events=1, users=1, suggestions=1)
    ((recorded, said, at),) = store.feedback(SHOP)
    assert (recorded.listing, recorded.user, said, at) == (SHIRT.listing, None, Feedback(accepted=("Linen",)), NOW)


def test_feedback_replaces_what_was_said_before(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Foldable", hours=hours) for hours in range(FOLD + 1)])
    kept = store.record(SHOP, Listing("x", id="X1"), ["Linen", "Red"], "u", teaches=False)
    first, second, third = Feedback(("Linen",), ("Red",)), Feedback(("Red",)), Feedback((), ("Linen", "Red"), ("Bluetooth",))
    for said in (first, second, second, third):
        store.give_feedback(SHOP, kept, said)
        weights = store.profile(SHOP, "u", VOCABULARY).weights
        liked = {VOCABULARY.tags[tag].id for tag, weight in weights.items() if weight > 0}
        assert liked == {"Foldable", *said.right}
        assert {VOCABULARY.tags[tag].id for tag, weight in weights.items() if weight < 0} == set(said.rejected)
    exact = store.exact_profile(SHOP, "u", VOCABULARY).weights
    assert store.profile(SHOP, "u", VOCABULARY).weights == pytest.approx(exact, rel=0.001)
    assert store.product_tags(SHOP, ["X1"]) == {}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"accepted": ("Linen",), "rejected": ("Linen",)}, "accepted and rejected"),
        ({"accepted": ("Red",)}, "'Red' is accepted, but was not suggested"),
        ({"added": ("Linen",)}, "say that it is accepted"),
        ({}, "says nothing"),
        ({"added": ("Red", "Red")}, "a tag twice"),
    ],
)
def test_feedback_that_does_not_fit(store: Store, said: dict, message: str) -> None:
    kept = store.record(SHOP, SHIRT.listing, ["Linen"])
    with pytest.raises(InvalidFeedback, match=message):
        store.give_feedback(SHOP, kept, Feedback(**said))
    assert list(store.feedback(SHOP)) == []
    with pytest.raises(UnknownItem):
        store.give_feedback("other", kept, Feedback(accepted=("Linen",)))


def test_the_catalogue_keeps_products_as_they_are_and_each_tenant_its_own(store: Store) -> None:
    store.put_products(SHOP, [SHIRT, HEADPHONES, SHIRT])
    assert store.product(SHOP, "S1") == SHIRT
    assert store.product(SHOP, "H1") == HEADPHONES
    both = [(each.listing.id, each.tags, each.in_stock) for each in (HEADPHONES, SHIRT)]
    assert list(store.tagged_products(SHOP)) == both
    assert list(store.tagged_products("other")) == []
    assert list(store.tagged_products(SHOP, since=NOW + timedelta(seconds=1))) == []
    changed = Product(Listing("Shirt", id="S1"), ("Red",), in_stock=False)
    store.put_products(SHOP, [changed])
    assert store.product(SHOP, "S1") == changed
    store.remove_product(SHOP, "S1")
    for wrong in (lambda: store.product(SHOP, "S1"), lambda: store.remove_product("other", "H1")):
        with pytest.raises(UnknownItem):
            wrong()
    with pytest.raises(InvalidListing, match="the id is empty"):
        store.put_products(SHOP, [HEADPHONES, Product(Listing("x"))])


def test_all_that_is_held_is_given_out(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Red", hours=2), did("u", "cart", "Linen", hours=3), did("v", "view", "Red")])
    kept = store.record(SHOP, SHIRT.listing, ["Linen"], "u")
    held = store.export(SHOP, "u")
    assert [(event.type, event.tags) for event in held.events] == [("cart", ("Linen",)), ("view", ("Red",))]
    assert held.weights.keys() == {"Red", "Linen"}
    assert [(recorded.id, said) for recorded, said in held.suggestions] == [(kept, None)]
    assert store.export("other", "u").events == ()


def test_many_products_come_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PAGE", 10)
    store.put_products(SHOP, [Product(Listing("x", id=f"{number:05}"), ("Red",)) for number in range(30)])
    assert [id for id, _, _ in store.tagged_products(SHOP)] == [f"{number:05}" for number in range(30)]
