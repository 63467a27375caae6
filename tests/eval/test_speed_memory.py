from pathlib import Path

from eval.speed.memory import NEAREST, Peers, Shop, run
from serve.memory.terms import Terms


def test_listings_are_the_same_every_time_in_two_languages_with_known_tags() -> None:
    one, other = Shop(), Shop()
    rows = one.listings(0, 40)
    assert rows == other.listings(0, 40)
    assert [made.listing.resolved_language() for made in rows[:4]] == ["en", "zh", "en", "zh"]
    assert len({made.listing.title for made in rows}) == 40
    for made in rows:
        assert 1 <= len(made.tags) <= 3
        assert all(tag in one.vocabulary for tag in made.tags)
        assert made.listing.title.endswith(made.tags[0])


def test_a_memory_is_measured_at_every_size_and_left_as_it_was() -> None:
    heard: list[int] = []
    small, large = run([120, 60], 20, heard.append)
    assert (small.listings, large.listings, sum(heard)) == (60, 120, 120)
    for grown in (small, large):
        assert [timing.name for timing in grown.timings] == ["search", "estimates", "exact scan (scipy)", "SQLite FTS5"]
        assert all(0 < timing.median <= timing.p99 for timing in grown.timings)
        assert grown.rate > 0
        assert grown.add_one_ms > 0
        assert grown.recall is not None
        assert 0.9 < grown.recall <= 1  # fewer listings than neighbours: nearly all are found
    assert large.megabytes > small.megabytes > 0


def test_without_peers_there_is_nothing_to_compare_with() -> None:
    (grown,) = run([30], 20, peers=False)
    assert grown.recall is None
    assert [timing.name for timing in grown.timings] == ["search", "estimates"]


def test_a_listing_that_peers_know_is_the_nearest_to_itself(tmp_path: Path) -> None:
    rows = [made.listing for made in Shop().listings(0, 50)]
    peers = Peers(tmp_path / "peer.sqlite")
    peers.add(rows[:30])
    peers.add(rows[30:])
    peers.ready()
    for number in (0, 31, 49):
        terms = Terms.of(rows[number])
        assert peers.scan(terms, NEAREST)[0] == peers.search(terms, NEAREST)[0] == number
