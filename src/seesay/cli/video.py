"""`seesay video`: a video in, its scenes with times out, or what all of it says to a question or a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import dumps, printable
from seesay.cli.options import cost_option, machine_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.backends.api import ApiModel
    from seesay.describe import Blip, Describer
    from seesay.records import Provenance
    from seesay.videos import Video

FORMATS = ("text", "json", "vtt")


@click.command(
    epilog="""Examples:

\b
  seesay video film.mp4
  seesay video film.mp4 --every 0.5 --output film.vtt
  seesay video film.mp4 --match "a dog runs on the beach" --model blip-itm-base-coco
  seesay video film.mp4 --ask "what is the man cooking?" --model blip-vqa-base

Needs the extra: pip install 'seesay[video]'. Exit status: 0 told, 1 the video cannot be used, 2 the command cannot be
meant, 130 interrupted.
"""
)
@click.argument("film", metavar="VIDEO", shell_complete=files)
@machine_options
@click.option("--every", type=float, default=1.0, show_default=True, help="Seconds between the frames looked at.")
@click.option("--cut", type=float, default=0.4, show_default=True, help="Difference of colours that ends a scene.")
@click.option("--match", "text", metavar="TEXT", help="Say how well a text belongs to the whole video instead.")
@click.option("--ask", "question", metavar="QUESTION", help="Answer a question about the whole video instead.")
@click.option("--frames", "count", type=click.IntRange(min=1), help="For these: frames. [default: 8, to answer 16]")
@cost_option
@click.option("--format", "form", type=click.Choice(FORMATS), help="[default: by the suffix of --output, else text]")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File for the result.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote.")
def video(film: str, text: str | None, question: str | None, **given: Any) -> None:
    """Describe a video scene by scene, with times.

    Frames are captioned every so many seconds and merged into scenes: one ends where colours change at once, and
    neighbours that say the same are one. --format vtt is WebVTT, which players show as captions or descriptions.

    --match and --ask take the whole video as the BLIP paper does, without training for videos: some frames, evenly
    sampled, whose features stand behind one another; what comes first and what later, it does not know.
    """
    from seesay.cli.outputs import check_place, encoded, replace
    from seesay.cli.pictures import behind_api, load_model
    from seesay.settings import load_settings

    settings = load_settings(**{name: given[name] for name in ("model", "precision", "threads", "offline")})
    output: Path | None = given["output"]
    form = given["form"] or (output.suffix.lower().removeprefix(".") if output else "text")
    form = form if form in FORMATS else "text"
    if text is not None and question is not None:
        raise UsageError("--match and --ask are two things", "Use one of the two.")
    if form == "vtt" and (text is not None or question is not None):
        raise UsageError("WebVTT holds scenes, not one answer", "Use --format json or text.")
    if output:
        check_place(output, given["overwrite"])
    model = load_model(settings, given["max_cost"])
    if metered := behind_api(model, settings):
        _announce(metered, film, given["every"])
    told = _matched_or_asked(model, film, text, question, given["count"], form) or _scenes(
        model, film, given["every"], given["cut"], form
    )
    if metered:
        click.echo(f"{metered.name}: {metered.meter}", err=True)
    if output:
        replace(output, encoded(told))
    else:
        click.echo(told, nl=False)


def _announce(model: ApiModel, film: str, every: float) -> None:
    """Say what captions of the frames may cost. Raises CostLimit where that is more than it may, ImageError."""
    from seesay.cli.pictures import announce
    from seesay.videos import duration

    if every > 0:
        announce(model, [None] * (1 + int(duration(film) / every)), 1)


def _scenes(model: Describer, film: str, every: float, cut: float, form: str) -> str:
    from seesay.videos import tell, to_webvtt

    found = tell(model, film, every=every, cut=cut)
    if form == "vtt":
        return to_webvtt(found)
    if form == "json":
        return dumps(video_row(film, found)) + "\n"
    return "".join(f"{_span(scene.start, scene.end)}  {printable(scene.text)}\n" for scene in found.scenes)


def _matched_or_asked(
    model: Describer, film: str, text: str | None, question: str | None, count: int | None, form: str
) -> str | None:
    from seesay.describe import as_blip
    from seesay.videos import QUESTION_FRAMES, RETRIEVAL_FRAMES, ask_video, match_video, watch

    if text is None and question is None:
        return None
    blip: Blip = as_blip(model, "watch a whole video")
    if text is not None:
        blip.need("match")
        match = match_video(blip, watch(blip, film, count or RETRIEVAL_FRAMES), text)
        row = {"path": film, "text": text, "probability": match.probability, "similarity": match.similarity}
        line = f"{match.probability:.2f} (similarity {match.similarity:.2f})"
        return dumps({**row, **_made(match.provenance)}) + "\n" if form == "json" else f"{line}\n"
    assert question is not None
    blip.need("ask")
    answer = ask_video(blip, watch(blip, film, count or QUESTION_FRAMES), question)
    said = {"path": film, "question": question, "answer": answer.text, "probability": answer.probability}
    told = {**said, "flags": list(answer.flags), **_made(answer.provenance)}
    return dumps(told) + "\n" if form == "json" else f"{printable(answer.text)}\n"


def video_row(name: str, found: Video) -> dict[str, Any]:
    scenes = [
        {
            "start": round(scene.start, 3),
            "end": round(scene.end, 3),
            "text": scene.text,
            "captions": [{"time": round(time, 3), "caption": caption.text} for time, caption in scene.captions],
        }
        for scene in found.scenes
    ]
    rest = {"duration": round(found.duration, 3), "every": found.every, **_made(found.provenance)}
    return {"path": name, "scenes": scenes, **rest}


def _made(by: Provenance | None) -> dict[str, Any]:
    assert by is not None  # a describer's records say how they were made
    return {"model": by.model, "precision": by.precision, "options": dict(by.options)}


def _span(start: float, end: float) -> str:
    return f"{_clock(start)} - {_clock(end)}"


def _clock(seconds: float) -> str:
    """ "1:02.5", "1:02:03.0"."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
