"""The machine's settings: where they come from, in which order, and what is refused."""

from pathlib import Path
from typing import get_args

import pytest

from seesay import settings
from seesay.engine.base import Precision
from seesay.errors import UsageError
from seesay.settings import Settings, load_settings

NAMES = ("MODEL", "CACHE", "THREADS", "PRECISION", "OFFLINE")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [*(f"SEESAY_{name}" for name in NAMES), "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def write_config(text: str) -> None:
    settings.config_file().parent.mkdir(parents=True)
    settings.config_file().write_text(text)


def test_defaults(home: Path) -> None:
    assert load_settings() == Settings(model="seesay-small", cache=home / "cache" / "seesay")


def test_each_place_overrides_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config('model = "from-file"\nthreads = 2\nprecision = "int8"\n')
    monkeypatch.setenv("SEESAY_THREADS", "3")
    monkeypatch.setenv("SEESAY_PRECISION", "fp32")
    loaded = load_settings(precision="bf16", model=None)
    assert (loaded.model, loaded.threads, loaded.precision) == ("from-file", 3, "bf16")


def test_an_argument_can_switch_offline_back_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_OFFLINE", "1")
    assert load_settings().offline
    assert not load_settings(offline=False).offline


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hubs_offline_switch_counts_and_ours_is_stronger(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    assert load_settings().offline
    monkeypatch.setenv("SEESAY_OFFLINE", "0")
    assert not load_settings().offline


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_CACHE", "~/graphs")
    assert load_settings().cache == Path.home() / "graphs"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threads = 0", "whole number"),
        ("threads = true", "whole number"),
        ('threads = "many"', "whole number"),
        ('precision = "fp8"', "one of auto"),
        ("offline = 'perhaps'", "true or false"),
        ("model = 3", "a name or a folder"),
        ("modell = 'x'", "no setting is called 'modell'"),
        ("model = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(text: str, says: str) -> None:
    write_config(text)
    with pytest.raises(UsageError, match=says) as caught:
        load_settings()
    assert str(settings.config_file()) in str(caught.value)
    assert caught.value.remedy


def test_a_wrong_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_THREADS", "-1")
    with pytest.raises(UsageError, match=r"environment: threads = '-1'"):
        load_settings()


def test_precisions_are_the_engines() -> None:
    assert get_args(Precision) == settings.PRECISIONS


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        load_settings().model = "other"  # type: ignore[misc]
