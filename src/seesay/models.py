"""Models by name: what can be named, where it is on disk, how it gets there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from seesay.errors import ModelNotFound, UsageError
from seesay.settings import BUILTIN, Settings

if TYPE_CHECKING:
    from seesay.blip.config import Task
    from seesay.hub import Progress

PACKAGE = Path(__file__).parent
HUB_ID = re.compile(r"(?P<repository>\w[\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
SERVICE = re.compile(
    r"(?P<protocol>openai|openai-responses|anthropic|gemini|ollama):(?P<model>[^\s@]\S*?)(@(?P<url>https?://\S+))?"
)


@dataclass(frozen=True, slots=True)
class Preset:
    """A model that has a short name: one file of `presets/`."""

    name: str
    task: Task
    summary: str
    licence: str
    download_mb: int
    """Megabytes to fetch; 0 for the model inside the package."""
    memory_mb: Mapping[str, int] = field(default_factory=dict)
    """By precision: peak resident megabytes of `seesay caption` for one picture, where that was measured (x86 Linux,
    already converted; converting, once, takes up to 2,500)."""
    repository: str | None = None
    """Where it lies on the hub; None for the model inside the package."""


@dataclass(frozen=True, slots=True)
class Service:
    """A model that answers over HTTP: PROTOCOL:MODEL, or PROTOCOL:MODEL@ADDRESS for another server than the provider's.

    The address is the base that the protocol's own paths follow, such as http://localhost:8000/v1 for "openai". It is
    part of the name, and there is no other way to give it, so that a name always says where pictures go.
    """

    protocol: str
    model: str
    url: str | None = None

    @property
    def name(self) -> str:
        return f"{self.protocol}:{self.model}" + (f"@{self.url}" if self.url else "")

    @classmethod
    def named(cls, name: str) -> Service | None:
        """The service that a name stands for, or None where it stands for something else. Raises UsageError."""
        found = SERVICE.fullmatch(name)
        if not found:
            return None
        url = found["url"]
        try:
            parts = urlsplit(url or "")
        except ValueError as error:
            raise UsageError(f"{url} is no address ({error})", "Write MODEL@http://HOST:PORT/PATH.") from error
        if parts.username is not None or parts.query or parts.fragment:
            raise UsageError(
                "An address of a model holds a user, a password or a query",
                "Keys are read from the environment only; write MODEL@http://HOST:PORT/PATH.",
            )
        return cls(found["protocol"], found["model"], url.rstrip("/") if url else None)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model that is on this disk."""

    name: str
    """As it was asked for."""
    path: Path
    """Folder of a checkpoint, or one of Salesforce's .pth files."""
    revision: str | None = None
    """Commit of the hub's repository, where it came from there."""


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by its name, the built-in model first."""
    files = sorted((PACKAGE / "presets").glob("*.json"), key=lambda file: (file.stem != BUILTIN, file.stem))
    return {file.stem: Preset(name=file.stem, **json.loads(file.read_text(encoding="utf-8"))) for file in files}


def locate(name: str, settings: Settings) -> ModelFolder | None:
    """The model if it is on this disk, else None. Touches no network.

    Looks at a folder (or .pth file) of that path, the package, `models/` in Seesay's cache, and the hub's cache.
    """
    given = Path(name).expanduser()
    if _is_model(given):
        return ModelFolder(name, given)
    if name == BUILTIN:
        return ModelFolder(name, PACKAGE / "builtin") if _is_model(PACKAGE / "builtin") else None
    if not (source := _hub_source(name)):
        return None
    if _is_model(by_hand := settings.cache / "models" / name):
        return ModelFolder(name, by_hand)
    from seesay import hub

    found = hub.cached(*source)
    return ModelFolder(name, found, revision=found.name) if found else None


def resolve(name: str, settings: Settings, progress: Progress | None = None) -> ModelFolder:
    """The model on this disk, fetched first where it has to be and may be.

    Pickled weights that another program left in the hub's cache cannot be read without torch: safetensors are fetched.
    Raises ModelNotFound (with what to do about it) or DownloadError.
    """
    found = locate(name, settings)
    if found and (settings.offline or not _unreadable(found)):
        return found
    return pull(name, settings, progress)


def pull(name: str, settings: Settings, progress: Progress | None = None) -> ModelFolder:
    """Fetch the model's newest edition, or what is missing of it, from the hub; models that are no repository stay."""
    source = _hub_source(name)
    if source is None:
        return locate(name, settings) or _refuse(name)
    if settings.offline:
        raise ModelNotFound(
            f"{name} is not on this disk, and offline nothing is fetched",
            f"Run `seesay models pull {name}` where there is a network, or copy the model's folder to "
            f"{settings.cache / 'models' / name}, or use the built-in model: --model {BUILTIN}.",
        )
    from seesay import hub

    snapshot = hub.look_up(*source)
    return ModelFolder(name, hub.download(snapshot, progress), revision=snapshot.commit)


def is_blip(found: ModelFolder) -> bool:
    """Whether a model is a BLIP, which our own engines run; transformers runs the others."""
    if found.path.is_file():
        return True
    try:
        stated = json.loads((found.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # the reader of checkpoints says what is wrong
    return not isinstance(stated, dict) or stated.get("model_type", "blip") == "blip"


def _hub_source(name: str) -> tuple[str, str | None] | None:
    """Repository and revision that a name stands for, or None where it stands for no repository."""
    if preset := presets().get(name):
        return (preset.repository, None) if preset.repository else None
    if match := HUB_ID.fullmatch(name):
        return match["repository"], match["revision"]
    return None


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file() or (path.suffix == ".pth" and path.is_file())


def _unreadable(found: ModelFolder) -> bool:
    if found.revision is None:
        return False
    from seesay.hub import SAFE

    return not (found.path / SAFE).exists() and find_spec("torch") is None


def _refuse(name: str) -> NoReturn:
    """Raise the ModelNotFound that fits a name which is neither here nor on the hub."""
    if name == BUILTIN:
        raise ModelNotFound("this installation lacks the built-in model", "pip install --force-reinstall seesay")
    if Service.named(name):
        raise ModelNotFound(f"{name} answers over HTTP: it has no folder and nothing to fetch", "Use it with --model.")
    if Path(name).expanduser().is_dir():
        raise ModelNotFound(f"the folder {name} holds no config.json", "Name the folder of a BLIP checkpoint.")
    if close := get_close_matches(name, presets(), n=1):
        raise ModelNotFound(f"no model is called {name!r}", f"Did you mean {close[0]}? See `seesay models`.")
    raise ModelNotFound(
        f"no model is called {name!r}", "Give a name of `seesay models`, a hub id (OWNER/NAME) or a folder."
    )
