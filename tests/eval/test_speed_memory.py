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
    small, large = run([120, 60], 20, heard.append, peers_up_to=120)
    assert (small.listings, large.listings, sum(heard)) == (60, 120, 120)
    for grown in (small, large):
        assert [timing.name for timing in grown.timings] == ["search", "estimates", "exact scan (scipy)", "SQLite FTS5"]
        assert all(0 < timing.median <= timing.p99 for timing in grown.timings)
        assert grown.rate
        assert grown.add_one_ms > 0
        assert grown.recall is not None
        assert 0.9 < grown.recall <= 1  # fewer listings than neighbours: nearly all are found
    assert large.megabytes > small.megabytes > 0


def test_a_memory_that_stays_is_gone_on_with_and_peers_are_asked_up_to_a_size(tmp_path: Path) -> None:
    (first,) = run([30], 20, directory=tmp_path / "kept")
    assert (first.recall, [timing.name for timing in first.timings]) == (None, ["search", "estimates"])
    heard: list[int] = []
    small, large = run([20, 30, 50], 20, heard.append, peers_up_to=30, directory=tmp_path / "kept")
    assert (small.listings, small.rate, large.listings, heard) == (30, None, 50, [30, 20])
    assert small.recall is not None
    assert large.recall is None


def test_a_listing_that_peers_know_is_the_nearest_to_itself(tmp_path: Path) -> None:
    rows = [made.listing for made in Shop().listings(0, 50)]
    peers = Peers(tmp_path / "peer.sqlite")
    peers.add(rows[:30])
    peers.add(rows[30:])
    peers.ready()
    for number in (0, 31, 49):
        terms = Terms.of(rows[number])
        assert peers.scan(terms, NEAREST)[0] == peers.search(terms, NEAREST)[0] == number
