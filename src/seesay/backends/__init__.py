"""Other models behind the same verbs: some that transformers runs, and those that answer over HTTP (`api.py`)."""
