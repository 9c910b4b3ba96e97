"""Names of models: presets, folders, what is on disk, and what the errors advise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from hub_server import HubServer
from seesay import hub, models
from seesay.errors import ModelNotFound
from seesay.settings import BUILTIN, Settings

FILES = {"config.json": b"{}", "vocab.txt": b"[PAD]\n", hub.SAFE: b"weights"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache")


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.chdir(tmp_path)
        yield running


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_every_preset_is_complete() -> None:
    names = list(models.presets())
    assert names[0] == BUILTIN
    assert {"blip-base", "blip-large", "blip-vqa-base", "blip-vqa-capfilt-large"} < set(names)
    assert {f"blip-itm-{size}-{data}" for size in ("base", "large") for data in ("coco", "flickr")} < set(names)
    for preset in models.presets().values():
        assert preset.task in ("caption", "match", "answer", "full")
        assert preset.summary
        assert (preset.repository is None) == (preset.download_mb == 0)
        assert preset.licence == ("BSD-3-Clause" if preset.repository else "see MODEL_CARD.md")


def test_a_folder_comes_before_everything_else(settings: Settings, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "blip-base")
    assert models.resolve("blip-base", settings).path == Path("blip-base")
    assert models.resolve(str(folder), settings) == models.ModelFolder(str(folder), folder)


def test_a_file_of_salesforces_is_a_model(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model_base_caption.pth").write_bytes(b"")
    assert models.resolve("model_base_caption.pth", settings).path == Path("model_base_caption.pth")


def test_a_folder_copied_by_hand_needs_no_network(settings: Settings, server: HubServer) -> None:
    folder = checkpoint(settings.cache / "models" / "blip-base")
    assert models.resolve("blip-base", settings).path == folder
    assert not server.requests


def test_a_preset_is_fetched_once_and_its_commit_is_known(settings: Settings, server: HubServer) -> None:
    commit = server.add("Salesforce/blip-image-captioning-base", FILES)
    found = models.resolve("blip-base", settings)
    assert (found.name, found.revision, (found.path / hub.SAFE).read_bytes()) == ("blip-base", commit, b"weights")
    server.requests.clear()
    assert models.resolve("blip-base", settings) == found
    assert not server.requests


def test_pickled_weights_in_the_cache_are_passed_over_without_torch(
    settings: Settings, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("Someone/blip", {"config.json": b"{}", hub.PICKLED: b"pickle"})
    pickled = models.resolve("Someone/blip", settings)
    server.add("Someone/blip", FILES)
    assert models.resolve("Someone/blip", settings) == pickled
    monkeypatch.setattr(models, "find_spec", lambda name: None)  # as if torch were not installed
    assert (models.resolve("Someone/blip", settings).path / hub.SAFE).exists()


def test_pull_takes_the_newest_edition(settings: Settings, server: HubServer) -> None:
    server.add("Someone/blip", FILES)
    old = models.resolve("Someone/blip", settings)
    server.add("Someone/blip", FILES | {hub.SAFE: b"better weights"})
    assert models.resolve("Someone/blip", settings) == old
    new = models.pull("Someone/blip", settings)
    assert (new.path / hub.SAFE).read_bytes() == b"better weights"
    assert models.resolve("Someone/blip", settings) == new


def test_a_revision_is_part_of_the_name(settings: Settings, server: HubServer) -> None:
    commit = server.add("Someone/blip", FILES, "v1")
    assert models.resolve("Someone/blip@v1", settings).revision == commit


def test_offline_says_how_to_get_the_model_and_asks_nobody(settings: Settings, server: HubServer) -> None:
    offline = Settings(cache=settings.cache, offline=True)
    with pytest.raises(ModelNotFound, match="blip-base is not on this disk") as caught:
        models.resolve("blip-base", offline)
    remedy = caught.value.remedy
    assert "seesay models pull blip-base" in remedy
    assert f"--model {BUILTIN}" in remedy
    assert not server.requests
    place = re.search(r"copy the model's folder to (\S+),", remedy)
    assert place
    checkpoint(Path(place[1]))  # what the remedy advises works
    assert models.resolve("blip-base", offline).path == Path(place[1])


@pytest.mark.parametrize(
    ("name", "says", "advises"),
    [
        ("blip-bas", "no model is called", "Did you mean blip-base?"),
        ("llama", "no model is called", "seesay models"),
        ("./nowhere", "no model is called", "a folder"),
        ("photos", "holds no config.json", "folder of a BLIP checkpoint"),
    ],
)
def test_names_that_name_nothing(settings: Settings, tmp_path: Path, name: str, says: str, advises: str) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelNotFound, match=says) as caught:
        models.resolve(name, settings)
    assert advises in caught.value.remedy


def test_the_preset_files_hold_nothing_else() -> None:
    for file in (models.PACKAGE / "presets").iterdir():
        assert file.suffix == ".json"
        assert set(json.loads(file.read_text())) <= set(models.Preset.__dataclass_fields__) - {"name"}
