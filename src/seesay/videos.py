"""Videos: frames out of a file, captions merged into scenes with times, and BLIP on frames as in the paper.

The paper (arXiv 2201.12086, section 5.6) takes its image model to videos without training: frames are sampled evenly,
encoded one by one, and their features stand behind one another where those of one picture stood; order in time is
given up. `watch` does that, for matching, questions and captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seesay.asking import AskOptions
from seesay.describe import Blip, CaptionOptions, Describer, Seen
from seesay.engine.base import Encoded
from seesay.errors import ImageError, ImageNotFound, ImageUnreadable, MissingExtra, UsageError
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.records import Answer, Caption, Match, Provenance

if TYPE_CHECKING:
    from PIL.Image import Image

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,gif,dv,h264,hevc"
"""Formats that are opened: no playlists, which name other files and addresses for FFmpeg to open."""
CUT = 0.4
"""Frames whose colours differ more belong to two scenes. Of 300 pairs of photographs (Flickr8k) 99.7 % differ more; of
300 photographs none does after a pan by a fifth, 0.3 % after a zoom by 1.4, 4.7 % where light changes by 15 %."""
BATCH = 8
RETRIEVAL_FRAMES, QUESTION_FRAMES = 8, 16
"""Frames that the paper takes for matching and for questions."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video."""

    time: float
    """Seconds from the start."""
    image: Image = field(repr=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch of a video that shows one thing."""

    start: float
    end: float
    """Seconds from the video's start; the end is where the next scene starts, or the video ends."""
    text: str
    """The caption of most of its frames; among equals the likeliest."""
    captions: tuple[tuple[float, Caption], ...] = field(repr=False)
    """The caption of each sampled frame, with its time."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video, told scene by scene."""

    scenes: tuple[Scene, ...]
    duration: float
    """Seconds."""
    every: float
    """Seconds between the frames that were looked at."""
    provenance: Provenance | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Watched:
    """A video as BLIP sees it: hand it to `match_video` or `ask_video`, or `frames` to `caption`."""

    frames: Seen
    """The features of all frames behind one another, (1, frames * tokens, width)."""
    mean: Seen
    """Their mean, (1, tokens, width): its vector is the video's, as in the paper's code."""
    times: tuple[float, ...]


# ------------------------------------------------------------------------------------------------------------- frames


def frames(source: str | Path, every: float = 1.0, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Frame]:
    """The first frame and then one every so many seconds, upright, in constant memory.

    Covers: pixels of a frame; formats that name other files or addresses are refused. Does not cover: the length of
    the video, nor the time of decoding it, which runs in C.
    Raises ImageNotFound, ImageUnreadable, ImageTooLarge, MissingExtra, UsageError.
    """
    if not every > 0:
        raise UsageError(f"A frame every {every} seconds", "Give a number above 0.")
    due = 0.0
    for time, image in _decoded(source, limits):
        if time >= due - 1e-6:
            yield Frame(time, image())
            due = max(due + every, time + every / 2)  # no catching up behind a gap


def sampled(source: str | Path, count: int, *, limits: Limits = DEFAULT_LIMITS) -> list[Frame]:
    """That many frames, evenly over the video; fewer where it has fewer. Raises as `frames`."""
    if count < 1:
        raise UsageError(f"{count} frames of a video", "Give 1 or more.")
    times = [time for time, _ in _decoded(source, limits)]
    wanted = {int(place * len(times) / count) for place in range(count)}
    return [Frame(time, image()) for place, (time, image) in enumerate(_decoded(source, limits)) if place in wanted]


def _decoded(source: str | Path, limits: Limits) -> Iterator[tuple[float, Any]]:
    """The time of each frame, and what makes an image of it while it is the newest."""
    with _opened(source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        limits.check_pixels(stream.codec_context.width, stream.codec_context.height)
        first = None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            limits.check_pixels(frame.width, frame.height)
            yield frame.time - first, lambda frame=frame: _upright(frame)


def duration(source: str | Path) -> float:
    """Seconds: what the file says, or 0 where it does not say. Raises as `frames`."""
    with _opened(source) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return (container.duration or 0) / 1_000_000  # FFmpeg's AV_TIME_BASE


def _upright(frame: Any) -> Image:
    image: Image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image


@contextmanager
def _opened(source: str | Path) -> Iterator[Any]:
    """The container of a file that holds pictures; FFmpeg's errors come out as ImageError."""
    try:
        import av
    except ImportError as error:
        raise MissingExtra("Reading a video", "video") from error
    path = Path(source)
    try:
        if not path.is_file():
            raise ImageNotFound(f"no such file: {path}", "check the path; videos are read from files only")
        file = path.open("rb")
    except OSError as error:  # permission, name too long
        raise ImageNotFound(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    try:
        with file, av.open(file, options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.video:
                raise ImageUnreadable(f"{path} holds no pictures, only {len(container.streams)} other streams")
            yield container
    except (av.FFmpegError, ValueError, EOFError) as error:
        why = error.strerror if isinstance(error, av.FFmpegError) else error  # without its number and the path again
        raise ImageUnreadable(f"{path} cannot be read as a video: {why}", "convert it to MP4 or WebM") from error


# ------------------------------------------------------------------------------------------------------------- scenes


def tell(
    model: Describer,
    source: str | Path,
    *,
    every: float = 1.0,
    cut: float = CUT,
    options: CaptionOptions | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Video:
    """The video scene by scene: frames every so many seconds are captioned, and merged where they show the same.

    A scene ends where the colours of the next frame differ by more than `cut` (0 to 1); scenes behind one another with
    the same text become one. Raises as `frames`, and CapabilityError for a model that does not caption.
    """
    if not 0 < cut <= 1:
        raise UsageError(f"Scenes cut at a difference of {cut}", "Give a number above 0, up to 1.")
    model.need("caption")
    shots: list[list[tuple[float, Caption]]] = []
    before: np.ndarray | None = None
    for batch in _batches(frames(source, every, limits=limits)):
        for frame, caption in zip(batch, model.captions([one.image for one in batch], options), strict=True):
            if isinstance(caption, ImageError):
                raise caption
            colours = histogram(frame.image)
            if before is None or difference(before, colours) > cut:
                shots.append([])
            shots[-1].append((frame.time, caption))
            before = colours
    if not shots:
        raise ImageUnreadable(f"{source} holds no frame that can be decoded", "convert it to MP4 or WebM")
    end, last = duration(source), shots[-1][-1][0]
    if not end > last:  # the file does not say how long it is, and a scene without an end is shown by no player
        end = last + every
    return Video(_scenes(shots, end), end, every, shots[0][0][1].provenance)


def _batches(found: Iterable[Frame]) -> Iterator[list[Frame]]:
    left = iter(found)
    while batch := list(islice(left, BATCH)):
        yield batch


def _scenes(shots: Sequence[Sequence[tuple[float, Caption]]], end: float) -> tuple[Scene, ...]:
    """Shots with their text; neighbours that say the same are one scene."""
    told = [(_most_said([caption for _, caption in shot]), shot) for shot in shots]
    merged = [
        (text, [one for _, shot in group for one in shot]) for text, group in groupby(told, key=lambda one: one[0])
    ]
    starts = [0.0, *(captions[0][0] for _, captions in merged[1:]), end]
    return tuple(
        Scene(start, until, text, tuple(captions))
        for (text, captions), start, until in zip(merged, starts, starts[1:], strict=False)
    )


def _most_said(captions: Sequence[Caption]) -> str:
    counts = Counter(one.text for one in captions)
    scores = {one.text: one.score or 0.0 for one in sorted(captions, key=lambda one: one.score or 0.0)}
    return max(counts, key=lambda text: (counts[text], scores[text]))


def histogram(image: Image) -> np.ndarray:
    """(128,), adding up to 1: how much of the picture has which hue (8), saturation (4) and brightness (4)."""
    hue, saturation, value = (np.asarray(band).astype(int) for band in image.convert("HSV").resize((64, 64)).split())
    bins = hue // 32 * 16 + saturation // 64 * 4 + value // 64
    counts: np.ndarray = np.bincount(bins.ravel(), minlength=128) / bins.size
    return counts


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Of two histograms, 0 to 1: the share of colours that they have not in common."""
    return float(1 - np.minimum(one, other).sum())


def to_webvtt(video: Video) -> str:
    """The scenes as a WebVTT file, for a player's track of descriptions or captions."""
    cues = [
        f"{number}\n{_clock(scene.start)} --> {_clock(scene.end)}\n{_cue(scene.text)}\n"
        for number, scene in enumerate(video.scenes, 1)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float) -> str:
    """ "00:01:02.500"."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02}:{milliseconds // 60_000 % 60:02}:{milliseconds / 1000 % 60:06.3f}"


def _cue(text: str) -> str:
    """A text that cannot be markup, nor end its cue."""
    line = " ".join(text.split()) or "-"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# ------------------------------------------------------------------------------------------------------- the paper's


def watch(model: Blip, source: str | Path, count: int = RETRIEVAL_FRAMES) -> Watched:
    """The video as one thing to see: that many frames of it, evenly sampled. Raises as `frames`."""
    found = sampled(source, count, limits=model.limits)
    if not found:
        raise ImageUnreadable(f"{source} holds no frame that can be decoded", "convert it to MP4 or WebM")
    features = [model.see(frame.image).encoded.features for frame in found]
    return Watched(
        Seen(Encoded(np.concatenate(features, axis=1)), model.name),
        Seen(Encoded(np.mean(features, axis=0)), model.name),
        tuple(frame.time for frame in found),
    )


def match_video(model: Blip, watched: Watched, text: str) -> Match:
    """How well the text belongs to the video: the matching head reads it beside all frames, the similarity is that to
    the mean of their vectors."""
    model.need("match")
    similarity = float(model.embed_image(watched.mean).vector @ model.embed_text(text).vector)
    return replace(model.match(watched.frames, text), similarity=similarity)


def ask_video(model: Blip, watched: Watched, question: str, options: AskOptions | None = None) -> Answer:
    """The answer to a question about the video, read beside all frames."""
    return model.ask(watched.frames, question, options)
