from pathlib import Path

import pytest

from hangtag.errors import InvalidSettings
from serve.settings import DEFAULT_BUNDLE, read_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUNDLE", "VOCABULARY", "VOCABULARY_DIR", "HOST", "PORT"):
        monkeypatch.delenv(f"HANGTAG_{name}", raising=False)


def test_what_is_given_goes_before_the_environment_and_that_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().bundle == DEFAULT_BUNDLE
    assert read_settings().port == 8000
    monkeypatch.setenv("HANGTAG_BUNDLE", "elsewhere")
    monkeypatch.setenv("HANGTAG_PORT", "9000")
    monkeypatch.setenv("HANGTAG_VOCABULARY", "")
    settings = read_settings(port=9001, bundle=None)
    assert (settings.bundle, settings.port, settings.vocabulary) == (Path("elsewhere"), 9001, None)
    monkeypatch.setenv("HANGTAG_VOCABULARY_DIR", "compiled")
    assert read_settings().vocabulary_dir == Path("compiled")


def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_BUNDEL", "x")
    with pytest.raises(InvalidSettings, match=r"HANGTAG_BUNDEL is no setting; use .*HANGTAG_BUNDLE,"):
        read_settings()


def test_a_value_without_a_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_PORT", "eighty")
    with pytest.raises(InvalidSettings, match=r"port \(HANGTAG_PORT\) is 'eighty'"):
        read_settings()
    with pytest.raises(InvalidSettings, match="65535"):
        read_settings(port=70000)
    monkeypatch.delenv("HANGTAG_PORT")
    for wrong in ('{"category": -1}', '{"category": NaN}', "[]", "category"):
        monkeypatch.setenv("HANGTAG_FACET_WEIGHTS", wrong)
        with pytest.raises(InvalidSettings, match="HANGTAG_FACET_WEIGHTS"):
            read_settings()
    monkeypatch.setenv("HANGTAG_FACET_WEIGHTS", '{"category": 2}')
    assert read_settings().facet_weights == {"category": 2.0}


def test_engine_options_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().engine_options is None
    monkeypatch.setenv("HANGTAG_ENGINE_OPTIONS", '{"tensor_parallel_size": 2}')
    assert read_settings().engine_options == {"tensor_parallel_size": 2}
    monkeypatch.setenv("HANGTAG_ENGINE_OPTIONS", "tensor_parallel_size=2")
    with pytest.raises(InvalidSettings, match="HANGTAG_ENGINE_OPTIONS"):
        read_settings()
