"""`seesay serve`: the model, and the photo library, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.library import library_option, settings_of
from seesay.cli.options import arithmetic_options, model_option
from seesay.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from seesay.server import ServerSettings

CONNECTIONS = 1000
"""More are answered 503 at once."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(
    epilog="""Examples:

\b
  seesay serve
  seesay serve --model blip-base --model blip-vqa-base --port 11434
  seesay serve --host 0.0.0.0 --keys keys.toml
  seesay serve --allow-url images.example.com --allow-url "*.example.org"

A keys file has a table for each caller: [alice], and below it key = "..." and, if wanted, per_minute = 60.
"""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@model_option("--model", "-m", "models", multiple=True, help="A model to serve; the first is the default one.")
@arithmetic_options
@library_option
@click.option("--keys", type=click.Path(path_type=Path, dir_okay=False), help="File of callers' keys (TOML).")
@click.option("--queue", type=click.IntRange(min=1), help="Requests at once; more are told to come back. [default: 64]")
@click.option("--batch-size", "batch", type=click.IntRange(min=1), help="Pictures at a time. [default: 8]")
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="MS", help="How long a picture waits for company. [default: 4]"
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="For one request. [default: 60]")
@click.option(
    "--allow-url", "hosts", multiple=True, metavar="HOST", help="A host to fetch pictures from. [default: none]"
)
@click.option("--allow-private-urls", "private_hosts", is_flag=True, help="Those hosts may be in the own network.")
@click.option(
    "--idle",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Models leave the memory after so long without a request; 0 keeps them. [default: 600]",
)
def serve(host: str, port: int, keys: Path | None, wait: float | None, **given: Any) -> None:
    """Serve captions, answers, matches, vectors and the photo library over HTTP, with a web page at /.

    Other programs find what they know: OpenAI's /v1/chat/completions, /v1/embeddings and /v1/models, and Ollama's
    /api/generate, /api/chat and /api/tags. /docs shows everything, /metrics is for Prometheus.

    Only this computer is served unless --host says otherwise; then give --keys, or everybody may ask.
    """
    try:
        from seesay.server import ServerSettings, create_app
    except ImportError as error:
        raise MissingExtra("The server", "server") from error
    names = ("models", "queue", "batch", "seconds", "hosts", "private_hosts", "idle")
    chosen = {name: given[name] for name in names if given[name] is not None}
    if wait is not None:
        chosen["wait"] = wait / 1000
    machine = settings_of({**given, "model": given["models"][0] if given["models"] else None})
    chosen |= who_may_ask(host, keys)
    settings = ServerSettings(machine=machine, **chosen)
    listen(create_app(settings), host, port, settings)


def who_may_ask(host: str, keys: Path | None) -> dict[str, Any]:
    """Settings of a server that listens there; says so where that is everybody."""
    from seesay.server.keys import read_keys

    local = host in LOOPBACK
    if not local and not keys:
        click.echo("warning: everybody who reaches this port may ask; --keys says who", err=True)
    return {"local": local, "keys": read_keys(keys) if keys else ()}


def listen(app: Any, host: str, port: int, settings: ServerSettings, path: str = "/") -> None:
    """Serve the app until Ctrl-C or SIGTERM, and then finish what was begun. path: where callers begin."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host,
            port,
            log_level="warning",
            access_log=False,
            lifespan="on",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(settings.seconds) + 5,
        )
    )
    _announce(server, path)
    server.run()
    if not server.started:
        raise UsageError(f"{host} port {port} cannot be listened at", "Choose another: --port.")


def _announce(server: Any, path: str) -> None:
    """Say where it is, as soon as it listens."""
    begin = server.startup

    async def startup(sockets: Any = None) -> None:
        await begin(sockets)
        for one in [sock for listening in server.servers for sock in listening.sockets] if server.started else []:
            name, number = one.getsockname()[:2]
            shown = f"[{name}]" if ":" in name else name
            click.echo(f"Seesay is at http://{shown}:{number}{path}  (Ctrl-C ends it)", err=True)

    server.startup = startup
