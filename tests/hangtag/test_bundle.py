import json
from pathlib import Path

import pytest

from hangtag.bundle import CALIBRATION, MANIFEST, Bundle, hash_path, write_calibration, write_manifest
from hangtag.calibration import ANY, WORDS, Calibration, Calibrations
from hangtag.errors import InvalidBundle, OutputError

FIELDS = {
    "name": "shop",
    "version": "1",
    "languages": ["en", "zh"],
    "context": 512,
    "weights": {"own_candidates": 1.0, "own_stated": 1.0, "other_candidates": 2, "interests": 0.5, "evidence": 4.0},
}
PATHS = {"base": "base", "adapter": "adapter", "prompt": "prompt.j2", "vocabulary": "tags.csv"}
CALIBRATIONS = Calibrations({(ANY, WORDS): Calibration(1.0, (0.0,), 0.0, (-1.0, 0.0), (0.2, 0.8))})
HUB = {"hub": "some-one/a.model", "revision": "0123456789abcdef" * 2 + "01234567"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A bundle whose weights are no weights: nothing here loads them."""
    directory = tmp_path / "bundle"
    for folder in ("base", "adapter"):
        (directory / folder).mkdir(parents=True)
        (directory / folder / "config.json").write_text("{}", encoding="utf-8")
        (directory / folder / "model.safetensors").write_bytes(b"weights")
    (directory / "prompt.j2").write_text("{% block user %}x{% endblock %}", encoding="utf-8")
    (directory / "tags.csv").write_text("id,en\na,Linen\n", encoding="utf-8")
    (directory / "README.md").write_text("A card is no component.", encoding="utf-8")
    write_manifest(directory, FIELDS, PATHS)
    return directory


def change(directory: Path, **fields: object) -> None:
    """Other fields in the manifest; None takes one away."""
    file = directory / MANIFEST
    manifest = json.loads(file.read_text(encoding="utf-8")) | fields
    file.write_text(json.dumps({name: value for name, value in manifest.items() if value is not None}), encoding="utf-8")


def change_component(directory: Path, name: str, component: dict[str, str] | None) -> None:
    components = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["components"] | {name: component}
    change(directory, components={key: value for key, value in components.items() if value is not None})


def refused(directory: Path) -> str:
    with pytest.raises(InvalidBundle) as caught:
        Bundle.load(directory)
    assert str(caught.value).startswith(str(directory))
    return str(caught.value)


def test_what_was_written_is_read(directory: Path) -> None:
    bundle = Bundle.load(directory)
    assert (bundle.model, bundle.languages, bundle.context) == ("shop@1", ("en", "zh"), 512)
    assert (bundle.weights.other_candidates, bundle.hub) == (2, None)
    assert [tag.id for tag in bundle.vocabulary] == ["a"]
    assert bundle.vocabulary.name == "shop"


def test_paths_are_absolute_so_that_none_is_taken_for_a_model_on_a_hub(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory.parent)
    bundle = Bundle.load(Path("bundle"))
    paths = (bundle.base, bundle.adapter, bundle.prompt_file, bundle.vocabulary_file)
    assert all(path is not None and path.is_absolute() for path in paths)


def test_the_hash_changes_with_whatever_is_in_it(directory: Path) -> None:
    before = Bundle.load(directory).hash
    assert Bundle.load(directory).hash == before
    (directory / "adapter" / "model.safetensors").write_bytes(b"others")
    write_manifest(directory, FIELDS, PATHS)
    assert Bundle.load(directory).hash != before


@pytest.mark.parametrize("file", ["base/model.safetensors", "adapter/config.json", "prompt.j2", "tags.csv"])
def test_an_altered_file_is_refused(directory: Path, file: str) -> None:
    with (directory / file).open("ab") as opened:
        opened.write(b" ")
    component = next(name for name, path in PATHS.items() if file.startswith(path))
    assert f"the {component} {PATHS[component]!r} was altered" in refused(directory)


def test_a_file_more_or_less_in_a_component_is_refused(directory: Path) -> None:
    more = directory / "base" / "added.json"
    more.write_text("{}", encoding="utf-8")
    assert "the base 'base' was altered" in refused(directory)
    more.unlink()
    (directory / "base" / "config.json").unlink()
    assert "the base 'base' was altered" in refused(directory)


def test_a_missing_component_is_refused(directory: Path) -> None:
    (directory / "prompt.j2").unlink()
    assert "the prompt 'prompt.j2' is not in the bundle" in refused(directory)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_path_that_leaves_the_directory_is_refused(directory: Path, absolute: bool) -> None:
    outside = directory.parent / "outside.csv"
    outside.write_text("id,en\na,Linen\n", encoding="utf-8")
    path = str(outside) if absolute else "../outside.csv"
    change_component(directory, "vocabulary", {"path": path, "sha256": hash_path(outside)})
    assert f"the vocabulary {path!r} is not in the bundle" in refused(directory)


def test_links_are_refused_whether_they_leave_the_directory_or_not(directory: Path) -> None:
    link = directory / "base" / "model.safetensors"
    link.unlink()
    link.symlink_to(directory / "adapter" / "model.safetensors")
    assert "a bundle has no links" in refused(directory)
    link.unlink()
    link.write_bytes(b"weights")
    (directory / "prompt.j2").rename(directory.parent / "prompt.j2")
    (directory / "prompt.j2").symlink_to(directory.parent / "prompt.j2")
    assert "is not in the bundle" in refused(directory)
    (directory / "prompt.j2").unlink()
    (directory / "prompt.j2").symlink_to(directory / "prompt.j2")
    assert "prompt.j2" in refused(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pkl", "code.py", ".hidden", "two\nlines.json", "a b.json"])
def test_files_of_other_kinds_and_odd_names_are_refused_on_both_sides(directory: Path, name: str) -> None:
    (directory / "base" / name).write_bytes(b"x")
    with pytest.raises(InvalidBundle, match=r"a bundle has no|is no name for a bundle's file"):
        write_manifest(directory, FIELDS, PATHS)
    assert "a bundle" in refused(directory)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "the format is not 1"),
        ({"format": None}, "the format is not 1"),
        ({"calibration": {}}, "unknown field 'calibration'"),
        ({"components": None}, "'components' is missing"),
        ({"components": []}, "AttributeError"),
        ({"components": {"code": {"path": "x.py"}}}, "unknown component 'code'"),
        ({"name": "../shop"}, "'../shop' is no bundle name"),
        ({"version": 1}, "the version 1 is no string"),
        ({"languages": "en"}, "`languages` is no list"),
        ({"languages": []}, "`languages` is no list"),
        ({"context": "512"}, "the context '512' is no number"),
        ({"weights": {"own_candidates": 1}}, "missing 4 required"),
        ({"weights": FIELDS["weights"] | {"interests": float("nan")}}, "a weight is no finite number"),  # type: ignore[operator]
    ],
)
def test_a_wrong_manifest_is_refused(directory: Path, fields: dict[str, object], message: str) -> None:
    change(directory, **fields)
    assert message in refused(directory)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(directory: Path, content: bytes) -> None:
    (directory / MANIFEST).write_bytes(content)
    assert "not valid JSON" in refused(directory) or "the format is not" in refused(directory)


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "no bundle here: manifest.json: No such file" in refused(tmp_path)
    assert "no bundle here" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["prompt", "vocabulary", "base"])
def test_a_component_that_is_needed_is_missed(directory: Path, name: str) -> None:
    change_component(directory, name, None)
    assert repr(name) in refused(directory)


def test_the_base_may_be_a_commit_on_a_hub(directory: Path) -> None:
    change_component(directory, "base", HUB)
    bundle = Bundle.load(directory)
    assert (bundle.base, bundle.hub, bundle.revision) == (None, HUB["hub"], HUB["revision"])


@pytest.mark.parametrize(
    "base",
    [
        {"hub": HUB["hub"]},
        {"hub": HUB["hub"], "revision": "main"},
        {"hub": "../base", "revision": HUB["revision"]},
        {"hub": "base", "revision": HUB["revision"]},
        HUB | {"trust_remote_code": "yes"},
    ],
)
def test_a_base_that_may_change_or_is_somewhere_else_is_refused(directory: Path, base: dict[str, str]) -> None:
    change_component(directory, "base", base)
    message = refused(directory)
    assert "commit" in message or "'revision' is missing" in message or "unknown field 'trust_remote_code'" in message


def test_a_calibration_is_tied_to_the_bundle(directory: Path) -> None:
    before = Bundle.load(directory)
    assert before.calibrations == Calibrations()
    after = write_calibration(directory, CALIBRATIONS)
    assert after == Bundle.load(directory)
    assert after.calibrations == CALIBRATIONS
    assert after.hash != before.hash
    with (directory / CALIBRATION).open("ab") as opened:
        opened.write(b" ")
    assert "the calibration 'calibration.json' was altered" in refused(directory)


def test_a_calibration_that_is_none_is_refused_though_its_hash_matches(directory: Path) -> None:
    (directory / CALIBRATION).write_text('{"format": 1, "curves": [{}]}', encoding="utf-8")
    change_component(directory, "calibration", {"path": CALIBRATION, "sha256": hash_path(directory / CALIBRATION)})
    assert "the calibration can't be used" in refused(directory)


def test_calibrating_that_is_cut_off_leaves_a_whole_bundle(directory: Path) -> None:
    write_calibration(directory, CALIBRATIONS)
    (directory / CALIBRATION).unlink()
    (directory / CALIBRATION).mkdir()  # nothing can be written there
    change_component(directory, "calibration", None)
    with pytest.raises(OutputError, match=CALIBRATION):
        write_calibration(directory, CALIBRATIONS)
    assert Bundle.load(directory).calibrations == Calibrations()


def test_a_broken_bundle_is_not_calibrated(directory: Path) -> None:
    (directory / "prompt.j2").unlink()
    with pytest.raises(InvalidBundle, match="not in the bundle"):
        write_calibration(directory, CALIBRATIONS)
    assert not (directory / CALIBRATION).exists()
