from pathlib import Path

from eval.speed.events import BATCH, CHECKED, Figure, measure


def test_a_server_is_measured_over_http(tiny_bundle: Path, tmp_path: Path) -> None:
    told: list[str] = []
    measured = measure(tiny_bundle, f"sqlite:///{tmp_path / 'events.db'}", rate=20, seconds=0.5, history=300, tell=told.append)
    assert (measured.checked, measured.missed) == (CHECKED, 0)
    assert (measured.history, measured.tags) == (300, 7)
    assert measured.error < 0.001
    http, single, batches, reads = measured.figures
    assert (http.count, single.count) == (5, 10)
    assert batches.count % BATCH == 0 < batches.count
    assert all(0 < figure.median <= figure.p99 <= figure.most for figure in (http, single, batches, reads))
    assert told[0] == "Starting a server"


def test_a_figure_is_of_single_latencies() -> None:
    assert Figure.of("x", [0.001, 0.002, 0.003], 2.0, each=10) == Figure("x", 30, 2.0, 2.98, 3.0, 15.0)
