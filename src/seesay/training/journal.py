"""What a stage writes about itself: `log.jsonl` for programs, TensorBoard's event file, and a plot of the losses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seesay.errors import MissingExtra

LOG, PLOT, BOARD = "log.jsonl", "loss.png", "tensorboard"
LARGE = 5  # figures that reach this have a panel of their own, so that the others can be read
UNPLOTTED = ("step", "seconds", "learning_rate", "gradient")


class Journal:
    """A line of JSON for each record, and the same figures for TensorBoard.

    Of steps that a resumed run takes again, the first telling is dropped.
    """

    def __init__(self, folder: Path, step: int, board: bool = False) -> None:
        """`step`: the last that was completed. `board`: write for TensorBoard too (MissingExtra where it cannot)."""
        self.folder = folder
        self._path = folder / LOG
        kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = _writer(folder / BOARD, step) if board else None

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a record; it has a "step". Texts, such as an alarm's, go to the log alone."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board:
            for name, value in record.items():
                if name != "step" and isinstance(value, (int, float)):
                    self._board.add_scalar(name, value, record["step"])
            self._board.flush()

    def close(self) -> None:
        """Nothing more will be written."""
        if self._board:
            self._board.close()


def plot(folder: Path) -> None:
    """Draw a stage's losses and scores over its steps into `loss.png`. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("Plotting the loss", "train") from error
    records = [json.loads(line) for line in _lines(folder / LOG)]
    losses = _curves(record for record in records if "learning_rate" in record)
    scores = _curves(record for record in records if "learning_rate" not in record)
    figure = Figure(figsize=(8, 8))
    FigureCanvasAgg(figure)
    large = {name for name, (_, values) in scores.items() if max(map(abs, values)) > LARGE}
    panels = [
        ("training", losses),
        ("validation", {name: curve for name, curve in scores.items() if name in large}),
        ("validation, small figures", {name: curve for name, curve in scores.items() if name not in large}),
    ]
    panels = [(title, curves) for title, curves in panels if curves]
    for row, (title, curves) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, row)
        for name, (steps, values) in curves.items():
            axes.plot(steps, values, label=name, marker="." if len(steps) < 30 else "")
        axes.set_title(title, loc="left")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.subplots_adjust(left=0.08, right=0.97, top=0.95, bottom=0.07, hspace=0.45)
    partial = folder / f".{PLOT}.partial"
    figure.savefig(partial, format="png", dpi=100)
    os.replace(partial, folder / PLOT)


def alarms_in(folder: Path) -> list[str]:
    """What the alarms in a stage's log were about, and since which step."""
    records = [json.loads(line) for line in _lines(folder / LOG)]
    alarms = [record["alarm"] for record in records if "alarm" in record]
    return [f"{alarm['what']} (since step {alarm['since']})" for alarm in alarms]


def _curves(records: Any) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of each figure."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for record in records:
        for name, value in record.items():
            if name not in UNPLOTTED and isinstance(value, (int, float)):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    return curves


def _lines(path: Path) -> list[str]:
    """Whole lines: a kill may have cut the last."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if line.endswith("}")]


def _writer(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtra("Writing for TensorBoard", "train") from error
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
