"""`seesay mcp`: the verbs as tools for assistants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seesay.cli.library import library_option, settings_of
from seesay.cli.options import machine_options
from seesay.errors import MissingExtra


@click.command(
    epilog="""Examples:

\b
  seesay mcp --root ~/Pictures
  seesay mcp --root ~/Pictures --http --port 8001

An assistant starts the first by itself: {"command": "seesay", "args": ["mcp", "--root", "/home/me/Pictures"]}. The
second is asked at http://127.0.0.1:8001/mcp.
"""
)
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FOLDER",
    help="A folder that may be read, with all below it; nothing else is.",
)
@click.option("--http", is_flag=True, help="Streamable HTTP, instead of standard input and output.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="With --http.")
@click.option("--keys", type=click.Path(path_type=Path, dir_okay=False), help="With --http: file of callers' keys.")
@machine_options
@library_option
def mcp(roots: tuple[Path, ...], http: bool, host: str, port: int, keys: Path | None, **given: Any) -> None:
    """Give an assistant eyes: caption, ask, match and search as tools, by the Model Context Protocol.

    The assistant names pictures by their paths; only those below a --root are read. `search` asks the photo library
    (`seesay index`), and shows what lies below a root.
    """
    try:
        from seesay.server import ServerSettings
        from seesay.server.mcp import Roots, create_server, http_app
    except ImportError as error:
        raise MissingExtra("The server", "server") from error
    from seesay.cli.serve import listen, who_may_ask

    allowed = who_may_ask(host, keys) if http else {}
    settings = ServerSettings(machine=settings_of(given), **allowed)
    server = create_server(settings, Roots(roots))
    if http:
        listen(http_app(server, settings), host, port, settings, "/mcp")
    else:
        server.run("stdio")
