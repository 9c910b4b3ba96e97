"""Workers of a local Ray, to be killed."""

from __future__ import annotations

from pathlib import Path


def workers_of(process: int) -> list[int]:
    """Processes below this one that have the models, by the title that Ray gives them."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(folder.name)] = (folder / "cmdline").read_text()
            except OSError:  # it ended while we looked
                continue

    def below(one: int) -> bool:
        return one == process or (one in parents and below(parents[one]))

    return [one for one, title in titles.items() if title.startswith("ray::MapWorker") and below(one)]
