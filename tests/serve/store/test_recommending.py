from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hangtag.errors import StoreUnavailable, UnknownItem
from hangtag.listing import Listing
from hangtag.vocabulary import Tag, TagVocabulary
from serve import recommending
from serve.recommending import Basis, Recommender
from serve.store import Product, Store, catalogue
from tests.serve.store.shop import HEADPHONES, NOW, SHIRT, SHOP, VOCABULARY, did

SPEAKER = Product(Listing("Speaker", id="P1"), ("Bluetooth", "Red"))
TROUSERS = Product(Listing("Trousers", id="T1"), ("Linen",))


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is renewed however long that took the last time: machines are slow at times."""
    monkeypatch.setattr(recommending, "LONG_SECONDS", float("inf"))


@pytest.fixture
def recommender(store: Store) -> Recommender:
    store.put_products(SHOP, [SHIRT, HEADPHONES, SPEAKER, TROUSERS])
    return Recommender(store)


def ids(recommender: Recommender, user: str = "ann", **options: object) -> list[str]:
    found = recommender.for_user(SHOP, user, VOCABULARY, 5, **options)  # type: ignore[arg-type]
    return [each.product.id for each in found.products]


def test_what_a_user_just_did_is_in_the_next_recommendation(recommender: Recommender) -> None:
    recommender.store.add_events(SHOP, [did("ann", "view", product="S1")])
    found = recommender.for_user(SHOP, "ann", VOCABULARY, 5)
    assert found.basis is Basis.INTERESTS
    assert {each.product.id for each in found.products} == {"T1", "P1"}  # seen: S1; sold out: H1
    recommender.store.add_events(
        SHOP, [did("ann", "purchase", "Bluetooth", hours=0), did("ann", "purchase", "Bluetooth", hours=0.1)]
    )
    (first, *_) = recommender.for_user(SHOP, "ann", VOCABULARY, 5).products
    assert first.product.id == "P1"
    assert first.reasons[0] == "Bluetooth"
    assert "S1" in ids(recommender, include_seen=True)


def test_a_catalogue_that_changes_is_followed(recommender: Recommender, url: str) -> None:
    recommender.store.add_events(SHOP, [did("ann", "like", "Linen")])
    assert ids(recommender) == ["T1", "S1"]
    later = Store(url)
    later.put_products(SHOP, [replace(TROUSERS, in_stock=False), Product(Listing("Sheet", id="B1"), ("Linen",))])
    assert ids(recommender) == ["B1", "S1"]
    later.remove_product(SHOP, "B1")
    assert ids(recommender) == ["S1"]
    later.close()


def test_a_product_that_comes_back_as_it_was_is_recommended_again(recommender: Recommender, url: str) -> None:
    recommender.store.add_events(SHOP, [did("ann", "like", "Linen")])
    assert ids(recommender) == ["T1", "S1"]
    later = Store(url)
    later.put_products(SHOP, [TROUSERS])
    later.put_products(SHOP, [SPEAKER])  # the newest, so that nothing newer is left when the other goes
    assert ids(recommender) == ["T1", "S1"]
    later.remove_product(SHOP, "T1")
    assert ids(recommender) == ["S1"]
    later.put_products(SHOP, [TROUSERS])
    assert ids(recommender) == ["T1", "S1"]
    later.close()


def test_catalogues_are_read_ahead_page_by_page(recommender: Recommender, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(catalogue, "PAGE", 2)
    recommender.store.put_products("other", [Product(Listing("Theirs", id="X1"), ("Linen",))])
    recommender.warm()
    recommender.store.close()
    sizes = {tenant: len(shelf.index) for tenant, shelf in recommender._shelves.items()}
    assert sizes == {SHOP: 4, "other": 1}


def test_what_was_read_long_ago_is_not_read_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommending, "CHECK_SECONDS", 0.0)
    times = [NOW]
    store = Store(url, clock=lambda: times[0])
    store.put_products(SHOP, [SHIRT, SPEAKER])
    recommender = Recommender(store)
    store.add_events(SHOP, [did("ann", "like", "Linen")])
    assert ids(recommender) == ["S1"]
    read: list[datetime | None] = []
    monkeypatch.setattr(store, "tagged_products", lambda tenant, since: read.append(since) or iter(()))
    for minutes in (2, 4, 6):
        times[0] = NOW + timedelta(minutes=minutes)
        recommender.like(SHOP, "S1", VOCABULARY, 5)
    assert [since >= NOW for since in read if since is not None] == [False, True, True]
    store.close()


def test_an_index_that_takes_long_to_renew_stays_as_it_is_for_a_while(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender.store.add_events(SHOP, [did("ann", "like", "Linen")])
    monkeypatch.setattr(recommending, "LONG_SECONDS", -1.0)
    monkeypatch.setattr(recommending, "RESTS", 1e6)
    assert ids(recommender) == ["T1", "S1"]
    recommender.store.put_products(SHOP, [Product(Listing("Sheet", id="B1"), ("Linen",))])
    assert ids(recommender) == ["T1", "S1"]


def test_who_waits_long_for_another_ones_index_is_told_and_a_stopping_server_reads_no_further(recommender: Recommender) -> None:
    recommender.store.add_events(SHOP, [did("ann", "like", "Linen")])
    with recommender._shelf("other").lock, pytest.MonkeyPatch.context() as patched:
        patched.setattr(recommending, "PATIENCE_SECONDS", 0.01)
        with pytest.raises(StoreUnavailable, match="is being read"):
            recommender.like("other", "S1", VOCABULARY, 5)
    recommender.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        ids(recommender)


def test_strangers_are_told_what_is_in_demand(recommender: Recommender) -> None:
    assert recommender.for_user(SHOP, "new", VOCABULARY, 5).basis is Basis.NOTHING
    old = [did("ann", "purchase", product="T1", hours=24 * 60)]
    recommender.store.add_events(SHOP, old)
    other = Recommender(recommender.store)
    found = other.for_user(SHOP, "new", VOCABULARY, 5)
    assert (found.basis, [each.product.id for each in found.products]) == (Basis.POPULAR, ["T1"])
    recommender.store.add_events(SHOP, [did("bob", "view", product="P1"), did("bob", "dislike", product="S1")])
    trending = Recommender(recommender.store).for_user(SHOP, "new", VOCABULARY, 5)
    assert (trending.basis, [each.product.id for each in trending.products]) == (Basis.TRENDING, ["P1"])
    assert trending.products[0].reasons == ()


def test_what_is_deleted_is_in_demand_no_more(recommender: Recommender) -> None:
    recommender.store.add_events(SHOP, [did("ann", "purchase", product="T1"), did("ann", "view", product="P1")])
    assert ids(recommender, "new") == ["T1", "P1"]
    recommender.store.remove_product(SHOP, "T1")
    assert ids(recommender, "new") == ["P1"]


def test_tenants_do_not_mix(recommender: Recommender) -> None:
    recommender.store.put_products("other", [Product(Listing("Theirs", id="X1"), ("Linen",))])
    recommender.store.add_events(SHOP, [did("ann", "like", "Linen")])
    assert "X1" not in ids(recommender)
    assert recommender.for_user("other", "ann", VOCABULARY, 5).basis is Basis.NOTHING


def test_similar_products_are_in_stock(recommender: Recommender) -> None:
    assert [each.product.id for each in recommender.like(SHOP, "S1", VOCABULARY, 5)] == ["T1", "P1"]
    with pytest.raises(UnknownItem, match="there is no listing 'nothing'"):
        recommender.like(SHOP, "nothing", VOCABULARY, 5)


def test_facets_count_as_the_merchant_says(recommender: Recommender) -> None:
    vocabulary = TagVocabulary(
        "shop", (Tag("Bluetooth", {"en": "Bluetooth"}, facet="feature"), Tag("Linen", {"en": "Linen"}, facet="material"))
    )
    recommender.store.add_events(SHOP, [did("ann", "like", "Bluetooth", "Linen")])
    for facets, first, tag in (({"feature": 9.0}, "P1", "Bluetooth"), ({"feature": 0.1}, "T1", "Linen")):
        weighing = Recommender(recommender.store, facets)
        assert weighing.for_user(SHOP, "ann", vocabulary, 5).products[0].product.id == first
        assert weighing.tags(SHOP, "ann", vocabulary, 5)[0][0] == tag


def test_a_users_tags_alone_and_for_a_product(recommender: Recommender) -> None:
    recommender.store.add_events(SHOP, [did("ann", "like", "Bluetooth", "Linen"), did("ann", "like", "Bluetooth")])
    assert [tag for tag, _ in recommender.tags(SHOP, "ann", VOCABULARY, 5)] == ["Bluetooth", "Linen"]
    assert recommender.tags(SHOP, "ann", VOCABULARY, 5, product="T1")[0][0] == "Linen"
    assert recommender.tags(SHOP, "nobody", VOCABULARY, 5) == []
