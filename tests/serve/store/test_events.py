import random
import threading
from datetime import timedelta

import pytest

from hangtag.errors import InvalidHistory
from hangtag.history import EVENT_WEIGHTS
from hangtag.listing import Listing
from serve.store import Product, Store, Taken
from serve.store.profiles import EVERY_TAG, FOLD
from serve.store.tables import tag_users
from tests.serve.store.shop import HEADPHONES, NOW, SHIRT, SHOP, VOCABULARY, did


def weights(store: Store, user: str = "u", tenant: str = SHOP) -> dict[str, float]:
    return {VOCABULARY.tags[tag].id: weight for tag, weight in store.profile(tenant, user, VOCABULARY).weights.items()}


def many(count: int, *, user: str = "u", seed: int = 0) -> list:
    chance = random.Random(seed)
    tags = [tag.id for tag in VOCABULARY]
    return [
        did(
            user,
            chance.choice(sorted(EVENT_WEIGHTS)),
            *chance.sample(tags, chance.randint(1, 3)),
            hours=chance.expovariate(1 / 500),
            key=f"k{number}",
        )
        for number in range(count)
    ]


def test_an_event_is_in_the_profile_once_it_was_taken_in(store: Store) -> None:
    assert weights(store) == {}
    assert store.add_events(SHOP, [did("u", "purchase", "Foldable")]) == Taken(1, 0)
    first = weights(store)
    assert first["Foldable"] > 0
    store.add_events(SHOP, [did("u", "dislike", "Red"), did("u", "view", "Foldable", hours=0)])
    assert weights(store)["Foldable"] > first["Foldable"]
    assert weights(store)["Red"] < 0


def test_the_profile_is_within_a_thousandth_of_the_exact_one(store: Store) -> None:
    for start in range(0, 3 * FOLD, 7):
        store.add_events(SHOP, many(3 * FOLD)[start : start + 7])
    exact = store.exact_profile(SHOP, "u", VOCABULARY).weights
    size = sum(abs(weight) for weight in exact.values())
    assert store.profile(SHOP, "u", VOCABULARY).weights == pytest.approx(exact, rel=0, abs=0.001 * size)


@pytest.mark.parametrize("keyed", [True, False])
def test_out_of_order_and_repeated_is_the_same_as_in_order_and_once(store: Store, keyed: bool) -> None:
    given = many(2 * FOLD + 5)
    if not keyed:
        given = [type(each)(each.user, each.event) for each in given]
    store.add_events(SHOP, sorted(given, key=lambda each: each.event.at))
    shuffled = given * 2
    random.Random(1).shuffle(shuffled)
    taken = Taken(0, 0)
    for start in range(0, len(shuffled), 9):
        part = store.add_events("other", shuffled[start : start + 9])
        taken = Taken(taken.added + part.added, taken.repeated + part.repeated)
    assert taken == Taken(len(given), len(given))
    assert weights(store, tenant="other") == pytest.approx(weights(store), rel=1e-9)
    assert store.history("other", "u") == store.history(SHOP, "u") != []
    store.add_events(SHOP, given)
    assert weights(store, tenant="other") == pytest.approx(weights(store), rel=1e-9)


def test_a_product_has_the_tags_of_the_event_else_of_the_catalogue_else_of_suggestions(store: Store) -> None:
    store.put_products(SHOP, [SHIRT])
    store.record(SHOP, Listing("Headphones", id="H1"), ["Headphones"])
    store.record(SHOP, Listing("Linen shirt", id="S1"), ["Bluetooth"])
    store.add_events(SHOP, [did("u", "view", product="S1"), did("u", "view", product="H1"), did("u", "view", "Foldable")])
    assert set(weights(store)) == {"Linen", "Red", "Headphones", "Foldable"}
    assert store.seen(SHOP, "u") == {"S1", "H1"}
    store.add_events(SHOP, [did("v", "view", "Red", product="S1")])
    assert set(weights(store, "v")) == {"Red"}


def test_what_everybody_likes_counts_less(store: Store) -> None:
    for user in range(20):
        store.add_events(SHOP, [did(f"u{user}", "view", "Red")])
    store.add_events(SHOP, [did("u", "view", "Red", "Linen")])
    assert weights(store)["Linen"] > weights(store)["Red"] > 0


@pytest.mark.parametrize(
    ("event", "field", "message"),
    [
        (did("u", "view", product="X9"), "events[1].product", "'X9' is unknown"),
        (did("u", "view"), "events[1].product", "the product is empty"),
        (did("u", "view", "Red", hours=-1), "events[1].at", "future"),
        (did("u" * 10_000, "view", "Red"), "events[1].user", "10,000 characters, at most 256"),
        (did("", "view", "Red"), "events[1].user", "empty"),
        (did("a\0b", "view", "Red"), "events[1].user", "control character at offset 1"),
        (did("亚麻\n", "view", "Red"), "events[1].user", "control character at offset 2"),
        (did("\ud800", "view", "Red"), "events[1].user", "control character at offset 0"),
        (did("u", "view", "Red", key="k" * 300), "events[1].idempotency_key", "at most 256"),
    ],
)
def test_of_a_batch_with_something_wrong_nothing_is_taken_in(store: Store, event, field: str, message: str) -> None:
    with pytest.raises(InvalidHistory, match=message) as raised:
        store.add_events(SHOP, [did("good", "view", "Red"), event])
    assert raised.value.field == field
    assert store.history(SHOP, "good") == []
    assert weights(store, "good") == {}


def test_an_idempotency_key_is_of_one_event_of_one_user(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Red", key="k"), did("v", "view", "Linen", key="k")])
    with pytest.raises(InvalidHistory, match="used for another event"):
        store.add_events(SHOP, [did("u", "view", "Linen", key="k")])
    assert set(weights(store)) == {"Red"}
    assert set(weights(store, "v")) == {"Linen"}


def test_no_events_are_taken_in(store: Store) -> None:
    assert store.add_events(SHOP, []) == Taken(0, 0)


def test_a_clock_that_is_a_little_fast_is_forgiven(store: Store) -> None:
    store.add_events(SHOP, [did("u", "view", "Red", hours=-1 / 360)])
    assert weights(store)["Red"] > 0


def test_writers_at_the_same_time_lose_nothing(url: str) -> None:
    writers, rounds = 6, 20
    stores = [Store(url, clock=lambda: NOW) for _ in range(2)]
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(rounds):
                name = f"{number}.{turn}"
                tags = ("Red", VOCABULARY.tags[turn % len(VOCABULARY)].id)
                mine = [did(user, "view", *dict.fromkeys(tags), hours=turn + 1, key=name) for user in ("u", f"u{number}", "v")]
                stores[number % 2].add_events(SHOP, mine[:: 1 if number % 2 else -1])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for user in ("u", "v"):
        assert len(stores[0].history(SHOP, user)) == writers * rounds
        exact = stores[0].exact_profile(SHOP, user, VOCABULARY).weights
        assert stores[1].profile(SHOP, user, VOCABULARY).weights == pytest.approx(exact, rel=0.001)
    with stores[0].database.read() as connection:
        counted = {row.tag: row.users for row in connection.execute(tag_users.select())}
    assert counted == {EVERY_TAG: writers + 2, **{tag.id: writers + 2 for tag in VOCABULARY}}
    for made in stores:
        made.close()


def test_tenants_do_not_mix(store: Store) -> None:
    store.put_products("a", [SHIRT])
    store.put_products("b", [Product(SHIRT.listing, ("Red",)), HEADPHONES])
    store.add_events("a", [did("u", "view", product="S1")])
    store.add_events("b", [did("u", "view", product="S1")])
    assert set(weights(store, tenant="a")) == {"Linen", "Red"}
    assert set(weights(store, tenant="b")) == {"Red"}
    with pytest.raises(InvalidHistory, match="unknown"):
        store.add_events("a", [did("u", "view", product="H1")])
    store.remove_user("a", "u")
    assert store.history("a", "u") == []
    assert len(store.history("b", "u")) == 1


def test_old_events_fade(url: str) -> None:
    now = [NOW]
    store = Store(url, clock=lambda: now[0])
    store.add_events(SHOP, many(FOLD + 3))
    before = weights(store)
    now[0] += timedelta(days=30)
    after = weights(store)
    assert all(abs(after[tag]) < abs(before[tag]) for tag in before)
    assert after == pytest.approx(
        {VOCABULARY.tags[tag].id: weight for tag, weight in store.exact_profile(SHOP, "u", VOCABULARY).weights.items()},
        rel=0.05,
        abs=0.01,
    )
    store.close()
