import random
from collections import Counter

from serve.engines.balance import LARGEST_SHARE, choose

NAMES = [f"http://{number}" for number in range(4)]


def prompts(count: int) -> list[list[int]]:
    chance = random.Random(0)
    return [[chance.randrange(8000) for _ in range(200)] for _ in range(count)]


def test_a_listing_goes_where_its_prefix_is_cached() -> None:
    for prompt in prompts(200):
        home = choose(NAMES, [0] * 4, prompt)
        for event in range(20):
            assert choose(NAMES, [0] * 4, prompt[:-10] + [event] * (5 + event)) == home


def test_listings_are_spread() -> None:
    spread = Counter(choose(NAMES, [0] * 4, prompt) for prompt in prompts(2000))
    assert min(spread.values()) > 400


def test_no_server_has_more_than_its_share() -> None:
    one = prompts(1)[0]
    loads = [0] * 4
    for number in range(100):
        chosen = choose(NAMES, loads, one)
        loads[chosen] += 1
        assert max(loads) <= LARGEST_SHARE * (number + 1) / 4 + 1
    assert min(loads) > 0


def test_where_a_server_goes_only_its_listings_move() -> None:
    for prompt in prompts(500):
        before = choose(NAMES, [0] * 4, prompt)
        after = choose(NAMES[:3], [0] * 3, prompt)
        assert after == before or before == 3
