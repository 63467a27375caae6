"""`hangtag eval users`: whether what users did foretells what they do. It knows files, bars and tables; figures are `eval`'s."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.evaluate_run import OutOption
from cli.options import BundleOption
from hangtag.files import save_json

if TYPE_CHECKING:
    from rich.progress import Progress

    from eval.games import Games
    from eval.taggings import Posts
    from eval.users import DiversityCost, Figures
    from eval.vectors import Vectors
    from serve.suggester import Suggester


def users(
    out: OutOption,
    taggings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="hetrec2011-lastfm-2k: user_taggedartists.dat.gz and tags.dat.gz.")
    ] = None,
    games: Annotated[
        Path | None, typer.Option(metavar="DIR", help="LLMRank's games: Games.item.gz and Games-6k.valid.inter.gz.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Users of the games, drawn at random, the same every time.")] = 1_000,
    vectors: Annotated[bool, typer.Option("--vectors", help="Also users as vectors of the language model.")] = False,
    bundle: BundleOption = None,
) -> None:
    """Foretell each user's tags of the last item they tagged, and their next game among twenty: users.json and tables.

    Games get their tags from the model by their titles; run again, it goes on where it was interrupted."""
    from cli.console import messages
    from hangtag.errors import InvalidInput

    if taggings is None and games is None:
        raise InvalidInput("nothing to measure; give --taggings, --games or both", field="taggings")
    from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

    from eval.games import read_games
    from eval.taggings import read_hetrec

    posts = None if taggings is None else read_hetrec(taggings)
    played = None if games is None else read_games(games)
    columns = (*Progress.get_default_columns()[:2], TimeElapsedColumn(), TimeRemainingColumn())
    report: dict[str, Any] = {}
    with Progress(*columns, console=messages()) as bars:
        if posts is not None:
            report["taggings"] = _taggings(posts, bars)
        if played is not None:
            report["games"] = _games(played, limit, bundle, out, bars, vectors=vectors)
    _write(report, out / "users.json")
    _show(report)


def _taggings(posts: Posts, bars: Progress) -> dict[str, Any]:
    from eval.tag_rankers import Known
    from eval.taggings import last_posts
    from eval.users import tag_figures, worst_decay_error

    known, last = last_posts(posts.posts)
    bar = bars.add_task("Tags of last posts", total=1.0)
    model = Known(known)
    figures = tag_figures(model, last, lambda share: bars.update(bar, completed=share))
    bars.update(bar, completed=1.0)
    error = worst_decay_error(model, last)
    return {"figures": figures, "users": len(last), "notes": posts.notes, "largest error of carried interests": error}


def _games(games: Games, limit: int, bundle: Path | None, out: Path, bars: Progress, *, vectors: bool) -> dict[str, Any]:
    import asyncio

    from cli.console import load_suggester
    from eval.game_tags import games_vocabulary, tag_titles
    from eval.games import trials
    from eval.users import diversity_costs, game_figures
    from serve.settings import read_settings

    drawn = trials(games, limit)
    titles = dict.fromkeys(games.titles[game] for trial in drawn for game in (*trial.history, *trial.candidates))
    suggester = load_suggester(read_settings(bundle=bundle, vocabulary=games_vocabulary()))

    async def ask() -> dict[str, dict[int, float]]:
        bar = bars.add_task("Tags of titles", total=len(titles))
        try:
            return await tag_titles(suggester, titles, out / "titles.jsonl", lambda count: bars.advance(bar, count))
        finally:
            await suggester.engine.close()

    known = asyncio.run(ask())
    tagged = [known.get(title, {}) for title in games.titles]
    tags = len(suggester.vocabulary)
    scores = _vectors(games, set(titles), suggester, bars).scores if vectors else None
    return {
        "figures": game_figures(games, tagged, tags, drawn, scores),
        "diversity": diversity_costs(games, tagged, tags, drawn),
        "users": len(drawn),
        "model": suggester.bundle.model,
    }


def _vectors(games: Games, wanted: set[str], suggester: Suggester, bars: Progress) -> Vectors:
    from eval.vectors import Vectors, title_vectors
    from serve.engines.weights import load_model
    from serve.tokenizer import load_tokenizer

    model = load_model(suggester.bundle, suggester.bundle.adapter)
    tokenizer = load_tokenizer(suggester.bundle)
    bar = bars.add_task("Vectors of titles", total=len(wanted))
    ids = [tokenizer.encode(title) if title in wanted else [] for title in games.titles]
    return Vectors(title_vectors(model, ids, lambda count: bars.advance(bar, count)))


def _write(report: dict[str, Any], file: Path) -> None:
    from dataclasses import asdict

    def plain(value: Any) -> Any:
        return [asdict(each) for each in value] if isinstance(value, list) and value and not isinstance(value[0], str) else value

    content = {part: {name: plain(value) for name, value in figures.items()} for part, figures in report.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_json(content, file)


def _show(report: dict[str, Any]) -> None:
    from cli.console import output

    for title, name in (("Tags of the last item that a user tagged", "taggings"), ("A user's next game among twenty", "games")):
        if name in report:
            output().print(f"{title}, {report[name]['users']:,} users", soft_wrap=True)
            _show_figures(report[name]["figures"])
    if "taggings" in report:
        error = report["taggings"]["largest error of carried interests"]
        output().print(f"Interests carried forward are within {error:.2%} of sums over all events", soft_wrap=True)
    if "games" in report:
        _show_diversity(report["games"]["diversity"])


def _show_figures(systems: list[Figures]) -> None:
    from cli.console import output, plain_table, print_table

    metrics = list(systems[0].figures)
    table = plain_table("system", *metrics, f"{systems[0].system} has more {metrics[0]}")
    for system in systems:
        spans = [f"{each.value:.3f} ±{(each.high - each.low) / 2:.3f}" for each in system.figures.values()]
        more = system.first_has_more.get(metrics[0])
        table.add_row(system.system, *spans, f"{more.value:+.3f} ({more.low:+.3f} to {more.high:+.3f})" if more else "")
    print_table(output(), table)


def _show_diversity(costs: list[DiversityCost]) -> None:
    from cli.console import output, plain_table, print_table

    table = plain_table("diversity", "apart within a list", "nDCG@10")
    for cost in costs:
        table.add_row(f"{cost.diversity:g}", f"{cost.intra_list:.3f}", f"{cost.ndcg:.3f}")
    print_table(output(), table)
