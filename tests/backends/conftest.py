"""A server that speaks the protocols, models that ask it, and an environment without anybody's real keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import KEY, ApiServer, Build

from seesay.backends import api, client
from seesay.backends.api import ApiModel
from seesay.models import Service


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "SEESAY_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def build(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Models by name: those at providers meet the server in the provider's place, with a key."""
    for wire in api.WIRES.values():
        path = "/v1" if wire.BASE.endswith("/v1") else ""
        monkeypatch.setattr(wire, "BASE", server.url + path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    built: list[ApiModel] = []

    def make(name: str, **arguments: object) -> ApiModel:
        service = Service.named(name)
        assert service
        built.append(ApiModel(service, **arguments))  # type: ignore[arg-type]
        return built[-1]

    yield make
    for model in built:
        model.close()
