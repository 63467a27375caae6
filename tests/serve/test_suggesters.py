import asyncio
import json
import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from hangtag.bundle import write_manifest
from hangtag.errors import (
    AdapterConflict,
    EngineError,
    HangtagError,
    InvalidBundle,
    InvalidInput,
    InvalidSettings,
    OutputError,
    UnknownAdapter,
)
from hangtag.listing import Listing
from hangtag.suggestion import Suggestion
from serve.admission import Admission
from serve.auth import Caller
from serve.memory import Memory
from serve.metrics import Metrics
from serve.suggester import SuggestionRequest
from serve.suggesters import Suggesters
from tests.serve.bundles import another
from tests.serve.memory.rows import row
from tests.tiny import FailingEngine, suggester_with
from tests.walking import WalkingEngine

ACME, OTHER, ADMIN = Caller("acme"), Caller("other"), Caller("house", admin=True)
REQUEST = SuggestionRequest(Listing(title="Linen shirt"), max_tags=1, explain=False)


@pytest.fixture(scope="module")
def bundles(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shop@1 with all tags, shop@2 with two of them, another shop@2, one of another base, and what is no bundle."""
    directory = tmp_path_factory.mktemp("bundles")
    another(tiny_bundle, directory / "shop-1", name="shop")
    another(tiny_bundle, directory / "shop-2", name="shop", version="2", tags=2)
    another(tiny_bundle, directory / "false-2", name="shop", version="2", tags=3)
    another(tiny_bundle, directory / "slash", name="shop", version="a/b")
    foreign = another(tiny_bundle, directory / "foreign", name="foreign")
    weights = foreign / "base" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    rewrite(foreign)
    (directory / "empty").mkdir()
    (directory / "link").symlink_to(directory / "shop-1")
    return directory


def rewrite(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    paths = {name: component["path"] for name, component in manifest.pop("components").items()}
    del manifest["format"]
    write_manifest(bundle, manifest, paths)


class House:
    """A registry over an engine that only walks."""

    def __init__(self, tiny_bundle: Path, bundles: Path | None, file: Path | None = None) -> None:
        self.engine = WalkingEngine()
        base = suggester_with(self.engine, tiny_bundle)
        self.suggesters = Suggesters(base, Metrics(Admission()), bundles=bundles, file=file)

    async def ask(self, caller: Caller, name: str | None = None) -> Suggestion:
        with self.suggesters.using(caller, name) as suggester:
            return await suggester.suggest(REQUEST)

    def names(self, caller: Caller) -> list[str]:
        return [served.name for served in self.suggesters.of(caller)]


Scene = Callable[[House], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        async def within() -> None:
            await scene(House(tiny_bundle, bundles, tmp_path / "adapters.json"))

        asyncio.run(within())

    return run


def test_a_bundle_comes_with_its_adapter_prompt_and_vocabulary(play: Callable[[Scene], None], bundles: Path) -> None:
    async def scene(house: House) -> None:
        assert (await house.ask(ACME)).model == "tiny@1"
        assert house.engine.requests[-1].adapter is None
        served = await house.suggesters.load("shop-2")
        answer = await house.ask(ACME, "shop@2")
        request = house.engine.requests[-1]
        assert (answer.model, request.cache_salt) == ("shop@2", "acme")
        assert house.engine.adapters == {request.adapter: (bundles / "shop-2" / "adapter").resolve()}
        assert len(request.codec.vocabulary) == 2
        assert answer.vocabulary_hash == served.suggester.vocabulary.hash
        assert (await house.ask(ACME)).model == "tiny@1"

    play(scene)


def test_a_default_is_a_tenants_or_everybodys_and_goes_back_by_name(play: Callable[[Scene], None]) -> None:
    async def scene(house: House) -> None:
        for bundle in ("shop-1", "shop-2"):
            await house.suggesters.load(bundle)
        await house.suggesters.make_default("shop@2", ["acme"])
        assert [(await house.ask(caller)).model for caller in (ACME, OTHER)] == ["shop@2", "tiny@1"]
        await house.suggesters.make_default("shop@1")
        assert [(await house.ask(caller)).model for caller in (ACME, OTHER)] == ["shop@2", "shop@1"]
        await house.suggesters.make_default("shop@1", ["acme"])
        assert [(await house.ask(caller)).model for caller in (ACME, OTHER)] == ["shop@1", "shop@1"]
        await house.suggesters.make_default("tiny@1")
        assert [(await house.ask(caller)).model for caller in (ACME, OTHER)] == ["shop@1", "tiny@1"]

    play(scene)


def test_another_tenants_bundle_is_as_good_as_none(play: Callable[[Scene], None]) -> None:
    async def scene(house: House) -> None:
        await house.suggesters.load("shop-1", ["acme"])
        assert (await house.ask(ACME, "shop@1")).model == (await house.ask(ADMIN, "shop@1")).model == "shop@1"
        assert [house.names(caller) for caller in (ACME, ADMIN, OTHER)] == [["tiny@1", "shop@1"]] * 2 + [["tiny@1"]]
        said = set()
        for name in ("shop@1", "shop@9"):
            with pytest.raises(UnknownAdapter) as caught:
                await house.ask(OTHER, name)
            said.add(str(caught.value).replace(name, "…"))
        assert len(said) == 1
        with pytest.raises(AdapterConflict, match="not for other"):
            await house.suggesters.make_default("shop@1", ["other"])
        with pytest.raises(AdapterConflict, match="not for all"):
            await house.suggesters.make_default("shop@1")
        await house.suggesters.load("shop-1", ["acme", "other"])
        assert (await house.ask(OTHER, "shop@1")).model == "shop@1"
        assert len(house.engine.adapters) == 1
        await house.suggesters.make_default("shop@1", ["other"])
        with pytest.raises(AdapterConflict, match="default of other"):
            await house.suggesters.load("shop-1", ["acme"])
        assert (await house.ask(OTHER)).model == "shop@1"

    play(scene)


def test_a_bundle_is_unloaded_when_its_last_request_is_done(play: Callable[[Scene], None]) -> None:
    async def scene(house: House) -> None:
        await house.suggesters.load("shop-1")
        house.engine.gate.clear()
        running = [asyncio.create_task(house.ask(ACME, "shop@1")) for _ in range(3)]
        while house.engine.running < 3:
            await asyncio.sleep(0)
        unloading = asyncio.create_task(house.suggesters.unload("shop@1"))
        await asyncio.sleep(0.01)
        with pytest.raises(UnknownAdapter):
            await house.ask(ACME, "shop@1")
        assert (unloading.done(), len(house.engine.adapters)) == (False, 1)
        house.engine.gate.set()
        assert {(await task).model for task in running} == {"shop@1"}
        await unloading
        assert house.engine.adapters == {}
        await house.suggesters.load("shop-1")
        assert (await house.ask(ACME, "shop@1")).model == "shop@1"

    play(scene)


def test_what_is_somebodys_default_stays(play: Callable[[Scene], None]) -> None:
    async def scene(house: House) -> None:
        await house.suggesters.load("shop-1")
        await house.suggesters.make_default("shop@1", ["acme"])
        with pytest.raises(AdapterConflict, match="the default of acme"):
            await house.suggesters.unload("shop@1")
        with pytest.raises(AdapterConflict, match="began with"):
            await house.suggesters.unload("tiny@1")
        with pytest.raises(UnknownAdapter):
            await house.suggesters.unload("shop@9")
        await house.suggesters.make_default("tiny@1", ["acme"])
        await house.suggesters.unload("shop@1")

    play(scene)


@pytest.mark.parametrize(
    "directory", ["", ".", "..", "../bundles/shop-1", "/etc", "shop-1/base", "none", "link", "shop-1\0", "Ü", "adapters.json"]
)
def test_only_directories_of_bundles_are_looked_into(play: Callable[[Scene], None], directory: str) -> None:
    async def scene(house: House) -> None:
        with pytest.raises(InvalidInput, match="there is no bundle"):
            await house.suggesters.load(directory)

    play(scene)


@pytest.mark.parametrize(
    ("directory", "error", "message"),
    [
        ("empty", InvalidBundle, "no bundle here"),
        ("foreign", InvalidBundle, "made for another base than tiny@1"),
        ("slash", InvalidBundle, "can't name an adapter"),
        ("false-2", AdapterConflict, "the name shop@2 was another bundle's"),
    ],
)
def test_what_can_not_be_served_here_is_refused(
    play: Callable[[Scene], None], directory: str, error: type[HangtagError], message: str
) -> None:
    async def scene(house: House) -> None:
        await house.suggesters.load("shop-2")
        await house.suggesters.unload("shop@2")  # a name is one bundle's also when nobody has it any more
        with pytest.raises(error, match=message):
            await house.suggesters.load(directory)
        assert house.engine.adapters == {}
        assert house.names(ADMIN) == ["tiny@1"]

    play(scene)


def test_a_bundle_that_can_not_answer_is_not_served(play: Callable[[Scene], None]) -> None:
    async def scene(house: House) -> None:
        house.engine.fails_after = 0
        with pytest.raises(EngineError):
            await house.suggesters.load("shop-1")
        assert (house.engine.adapters, house.names(ADMIN)) == ({}, ["tiny@1"])
        house.engine.fails_after = None
        await house.suggesters.load("shop-1")

    play(scene)


def test_an_engine_that_takes_no_adapters_says_so(tiny_bundle: Path, bundles: Path) -> None:
    suggesters = Suggesters(suggester_with(FailingEngine(), tiny_bundle), Metrics(Admission()), bundles=bundles)
    with pytest.raises(EngineError, match="can't load adapters"):
        asyncio.run(suggesters.load("shop-1"))
    nowhere = Suggesters(suggester_with(WalkingEngine(), tiny_bundle), Metrics(Admission()))
    with pytest.raises(InvalidInput, match="HANGTAG_BUNDLES"):
        asyncio.run(nowhere.load("shop-1"))


def test_after_a_restart_everything_is_as_it_was(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapters.json"

    async def before() -> None:
        house = House(tiny_bundle, bundles, file)
        await house.suggesters.load("shop-2")
        await house.suggesters.unload("shop@2")
        await house.suggesters.load("shop-1", ["acme"])
        await house.suggesters.make_default("shop@1", ["acme"])

    async def after() -> None:
        house = House(tiny_bundle, bundles, file)
        content = file.read_text()
        await house.suggesters.restore()
        assert (house.suggesters.troubles(), house.suggesters.may_come) == ([], False)
        assert file.read_text() == content
        assert [house.names(caller) for caller in (ACME, OTHER)] == [["tiny@1", "shop@1"], ["tiny@1"]]
        assert (await house.ask(ACME)).model == "shop@1"
        with pytest.raises(AdapterConflict, match="another bundle's"):
            await house.suggesters.load("false-2")

    async def without_the_bundle() -> None:
        house = House(tiny_bundle, tmp_path, file)
        await house.suggesters.restore()
        (trouble,) = house.suggesters.troubles()
        assert "shop@1 can't be served" in trouble
        assert not house.suggesters.may_come
        assert (await house.ask(ACME)).model == "tiny@1"

    asyncio.run(before())
    asyncio.run(after())
    asyncio.run(without_the_bundle())


def kept(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def test_what_is_missing_after_a_restart_stays_listed_and_comes_when_it_can(
    tiny_bundle: Path, bundles: Path, tmp_path: Path
) -> None:
    file = tmp_path / "adapters.json"

    async def before() -> None:
        house = House(tiny_bundle, bundles, file)
        await house.suggesters.load("shop-1", ["acme"])
        await house.suggesters.make_default("shop@1", ["acme"])

    async def after() -> None:
        house = House(tiny_bundle, bundles, file)
        listed = kept(file)
        house.engine.fails_after = 0  # no server is there yet
        await house.suggesters.restore()
        assert house.suggesters.may_come
        assert "shop@1 can't be served" in house.suggesters.troubles()[0]
        house.engine.fails_after = None
        await house.suggesters.load("shop-2")
        assert kept(file)["defaults"] == listed["defaults"]
        assert kept(file)["loaded"].keys() == {"shop@1", "shop@2"}
        with pytest.raises(AdapterConflict, match="default of acme"):
            await house.suggesters.unload("shop@1")
        assert (await house.ask(ACME)).model == "tiny@1"
        await house.suggesters.retry()
        assert (house.suggesters.troubles(), house.suggesters.may_come) == ([], False)
        assert (await house.ask(ACME)).model == "shop@1"

    asyncio.run(before())
    asyncio.run(after())


def test_what_is_missing_can_be_given_up(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapters.json"

    async def scene() -> None:
        await House(tiny_bundle, bundles, file).suggesters.load("shop-1")
        house = House(tiny_bundle, tmp_path, file)
        await house.suggesters.restore()
        await house.suggesters.unload("shop@1")
        assert (house.suggesters.troubles(), kept(file)["loaded"]) == ([], {})
        with pytest.raises(UnknownAdapter):
            await house.suggesters.unload("shop@1")

    asyncio.run(scene())


def test_another_bundle_in_the_directory_of_one_is_not_taken_for_it(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapters.json"
    shutil.copytree(bundles / "shop-1", tmp_path / "bundles" / "shop")

    async def scene() -> None:
        await House(tiny_bundle, tmp_path / "bundles", file).suggesters.load("shop")
        shutil.rmtree(tmp_path / "bundles" / "shop")
        shutil.copytree(bundles / "shop-2", tmp_path / "bundles" / "shop")
        house = House(tiny_bundle, tmp_path / "bundles", file)
        await house.suggesters.restore()
        assert house.suggesters.troubles() == ["shop@1 can't be served: shop has shop@2 now; load that, or put shop@1 back"]
        assert house.names(ADMIN) == ["tiny@1"]

    asyncio.run(scene())


def test_a_list_that_can_not_be_kept_changes_nothing(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> None:
    async def scene() -> None:
        house = House(tiny_bundle, bundles, tmp_path / "none" / "adapters.json")
        with pytest.raises(OutputError, match="can't be written"):
            await house.suggesters.load("shop-1")
        assert (house.engine.adapters, house.names(ADMIN)) == ({}, ["tiny@1"])
        os.mkdir(tmp_path / "none")
        await house.suggesters.load("shop-1")
        assert os.listdir(tmp_path / "none") == ["adapters.json"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 2}', '{"format": 1, "loaded": {"a": 1}, "given": {}, "defaults": {}}']
)
def test_a_list_that_is_none_is_refused(tiny_bundle: Path, bundles: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "adapters.json").write_text(content)

    async def scene() -> None:
        with pytest.raises(InvalidSettings, match="no list of adapters"):
            await House(tiny_bundle, bundles, tmp_path / "adapters.json").suggesters.restore()

    asyncio.run(scene())


def test_what_is_remembered_helps_every_bundle_that_has_the_tags(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> None:
    async def scene() -> None:
        base = suggester_with(WalkingEngine(), tiny_bundle)
        rows = [row("1", "Linen shirt", "category/shoes", "category/headphones")]
        base.memory = Memory.build(rows, base.vocabulary, tmp_path / "memory")
        suggesters = Suggesters(base, Metrics(Admission()), bundles=bundles)
        await suggesters.load("shop-2")
        with suggesters.using(ACME, "shop@2") as suggester:
            assert suggester.memory is not None
            assert suggester.memory.vocabulary is suggester.vocabulary
            assert len(suggester.memory) == 1
            suggester.memory.add([row("2", "Linen shirt, blue", "category/headphones")])
        assert len(base.memory) == 2
        base.memory.add([row("3", "Linen shirt, red", "category/shoes")])
        with suggesters.using(ACME, "shop@2") as suggester:
            assert suggester.memory is not None
            assert len(suggester.memory) == 3
            assert [neighbour.id for neighbour in suggester.memory.similar(Listing(title="Linen shirt, red"), 1)] == ["3"]
            assert (await suggester.suggest(REQUEST)).model == "shop@2"

    asyncio.run(scene())
