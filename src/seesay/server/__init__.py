"""Seesay over HTTP: its own verbs, and the shapes of OpenAI and Ollama that other programs already speak.

`app` puts it together, `gate` stands before every request, `worker` does all model work in one thread, `native`,
`openai` and `ollama` are what can be asked, `mcp` is the same for assistants.
"""

from seesay.server.app import create_app
from seesay.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
