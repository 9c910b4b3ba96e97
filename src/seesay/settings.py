"""What belongs to the machine and not to a picture: which model, where caches lie, how many threads, network or none.

Keyword arguments win over `SEESAY_*` variables, those over the user's file, that over the defaults. The order is
written in `load_settings` and nowhere else.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import UsageError

if TYPE_CHECKING:  # engine.base imports NumPy, which `seesay --help` must not pay for
    from seesay.engine.base import Precision

BUILTIN = "seesay-small"
"""Name of the model inside the package."""


def config_file() -> Path:
    """Where the user's settings are read from: `$XDG_CONFIG_HOME/seesay/config.toml`, else under `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "seesay" / "config.toml"


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seesay"


def _default_library() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "seesay" / "library.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force."""

    model: str = BUILTIN
    """Name, hub id or folder of the model that verbs use when none is given."""
    cache: Path = field(default_factory=_default_cache)
    """Folder of converted graphs, and of models put there by hand. Downloads lie in the hub's own cache."""
    library: Path | str = field(default_factory=_default_library)
    """The photo library's file, or its address in PostgreSQL (postgresql://...)."""
    threads: int | None = None
    """Threads for the arithmetic; None leaves it to the engine."""
    precision: Precision = "auto"
    device: str = "cpu"
    """Where models of transformers compute, and BLIPs on PyTorch: "cpu", "cuda", "cuda:1" or "mps"; "auto" spreads a
    model of transformers over all there are."""
    offline: bool = False
    """Never touch the network: neither for models nor for pictures."""


def load_settings(**given: object) -> Settings:
    """The settings of this machine with `given` on top; an argument that is None counts as not given.

    Raises UsageError for an unknown name or an impossible value, and says where it stands.
    """
    values: dict[str, object] = {}
    for place, found in ((str(config_file()), _from_file()), ("environment", _from_environment()), ("argument", given)):
        for name, value in found.items():
            if value is not None:
                values[name] = _checked(name, value, place)
    return Settings(**values)  # type: ignore[arg-type]  # each value was checked for its name


def _from_file() -> Mapping[str, object]:
    path = config_file()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if not os.path.exists(path):  # or it lies in a folder that may not be entered: then it is not this user's
            return {}
        raise UsageError(f"{path} cannot be read: {error}", "Correct the file, or remove it.") from error


def _from_environment() -> Mapping[str, object]:
    found: dict[str, object] = {}
    # The hub's own switches count too: who set them does not expect a download from us.
    for variable in ("TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(variable, "").lower() in _TRUE:
            found["offline"] = True
    for setting in fields(Settings):
        if value := os.environ.get(f"SEESAY_{setting.name.upper()}"):
            found[setting.name] = value
    return found


_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
PRECISIONS = ("auto", "fp32", "int8", "int4", "fp16", "bf16")


def _checked(name: str, value: object, place: str) -> object:
    check = _CHECKS.get(name)
    if check is None:
        raise UsageError(f"{place}: no setting is called {name!r}", f"Settings are: {', '.join(_CHECKS)}.")
    try:
        return check(value)
    except ValueError as error:
        raise UsageError(f"{place}: {name} = {value!r}: {error}", f"Correct {name}, or leave it out.") from error


def _name(value: object) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ValueError("must be a name or a folder")
    return os.fspath(value)


def _folder(value: object) -> Path:
    return Path(_name(value)).expanduser()


def _library(value: object) -> Path | str:
    name = _name(value)
    return name if name.startswith(("postgresql://", "postgres://")) else _folder(name)


def _threads(value: object) -> int:
    count = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError("must be a whole number from 1")
    return count


def _precision(value: object) -> object:
    if value not in PRECISIONS:
        raise ValueError(f"must be one of {', '.join(PRECISIONS)}")
    return value


def _device(value: object) -> object:
    if not re.fullmatch(r"cpu|auto|mps|(cuda|xpu)(:\d+)?", str(value)):
        raise ValueError("must be cpu, cuda, cuda:1, xpu, mps or auto")
    return str(value)


def _switch(value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


_CHECKS: Mapping[str, Callable[[object], object]] = {
    "model": _name,
    "cache": _folder,
    "library": _library,
    "threads": _threads,
    "precision": _precision,
    "device": _device,
    "offline": _switch,
}
