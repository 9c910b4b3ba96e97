"""From folders to records: every new picture is read once, told in batches, and kept before the next batch begins."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from seesay.describe import Describer, Seen
from seesay.errors import ImageError, MissingExtra, UsageError
from seesay.images import open_image, read_bytes
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.images.metadata import LONGEST, PhotoFacts, photo_facts
from seesay.library.calibration import calibrate
from seesay.library.likeness import likeness
from seesay.library.marks import by_people
from seesay.library.scan import FoundFile, Scan, digest_of, scan, sidecar_of
from seesay.library.store import Content, ContentTold, ItemTold, Library, Registered, Wants
from seesay.records import Caption, Embedding

if TYPE_CHECKING:
    from seesay.ocr import Reader
    from seesay.videos import Video

PROBE_TEXT = "a photograph"
"""What a model makes of it tells the space of its vectors."""
SEEN_SIDE = 64
"""Pixels that the perceptual hash looks at, at least."""

Became = Literal["indexed", "known", "moved", "copy", "failed", "elsewhere", "missing"]


@dataclass(frozen=True, slots=True)
class Event:
    """What became of one file. "elsewhere": another process is telling of it."""

    path: Path
    became: Became
    error: ImageError | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """A picture that this process claimed, with its bytes (a video's stay in its file)."""

    path: Path
    content: Content
    data: bytes


class Indexer:
    """Fills a library. What the model cannot do is left out, and done when an indexer comes with one that can."""

    def __init__(
        self,
        library: Library,
        model: Describer,
        *,
        reader: Reader | None = None,
        batch_size: int = 8,
        recaption: bool = False,
        retry: bool = False,
        every: float = 2.0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """reader: reads the text in photographs. recaption: anew what another model captioned. retry: pictures that
        failed before. every: seconds between the frames of a video that are looked at."""
        if batch_size < 1:
            raise UsageError(f"a batch of {batch_size} pictures makes no sense", "Give a whole number from 1.")
        self.library = library
        self.model = model
        self.reader = reader
        self.batch_size = batch_size
        self.retry = retry
        self.every = every
        self.limits = limits
        embeds = "embed" in model.capabilities
        space = library.space_of(model.name, model.embed_text(PROBE_TEXT).vector) if embeds else 0
        captioned_by = model.name if "caption" in model.capabilities else ""
        self.wants = Wants(captioned_by, space, reader is not None, recaption)

    def scan(self, folders: Iterable[str | Path]) -> Scan:
        """What lies in the folders; videos only where the extra that reads them is installed.

        Raises UsageError for a folder that is neither there nor known.
        """
        known = self.library.folders()
        return scan(usable(folders, known) or known, videos=find_spec("av") is not None)

    def index(self, scan: Scan) -> Iterator[Event]:
        """Bring the library up to what was found, file by file. Raises what the model raises, ImageErrors aside."""
        yield from self.begin(scan)
        yield from self.take(scan.files)
        self.finish()

    def begin(self, scan: Scan) -> Iterator[Event]:
        """The first part of `index`: what is gone."""
        self.library.add_folders(scan.folders)
        yield from (Event(path, "missing") for path in self.library.mark_missing(scan))

    def take(self, found: Iterable[FoundFile]) -> Iterator[Event]:
        """The second part, for some of the files or all."""
        try:
            files = iter(found)
            while batch := list(islice(files, self.batch_size)):
                yield from self._batch(batch)
        finally:
            self.library.release()

    def finish(self) -> None:
        """The last part: what cosines mean in this library, drawn anew where it has grown."""
        if self.wants.space:
            calibrate(self.library, self.wants.space)
            self.library.database.settle(self.wants.space)

    def _batch(self, files: Sequence[FoundFile]) -> Iterator[Event]:
        changed: list[FoundFile] = []
        for file in files:
            content = self.library.known(file)
            if content and content.error and not self.retry:
                yield Event(file.path, "failed", ImageError(content.error))
            elif content and not content.lacks(self.wants):
                yield Event(file.path, "known")
            else:
                changed.append(file)
        if changed:
            yield from self._tell(changed)

    def _tell(self, files: Sequence[FoundFile]) -> Iterator[Event]:
        """Read, register and claim; tell of what was claimed; keep it; say what became of each."""
        read: list[tuple[FoundFile, str, bytes]] = []
        for file in files:
            try:
                read.append((file, *self._read(file)))
            except ImageError as error:
                yield Event(file.path, "failed", error)
        registered = self.library.register([one[:2] for one in read], self.wants, retry=self.retry)
        work = {
            one.content.id: _Work(file.path, one.content, data)
            for (file, _, data), one in zip(read, registered, strict=True)
            if one.claimed
        }
        told = {one.content: one for one in self._told(list(work.values()))}
        self.library.tell(told.values())
        said: set[int] = set()
        for (file, _, _), one in zip(read, registered, strict=True):
            event = _event(file.path, one, self.wants, told.get(one.content.id))
            again = event.became == "indexed" and one.content.id in said
            said.add(one.content.id)
            yield replace(event, became="copy") if again else event

    def _read(self, file: FoundFile) -> tuple[str, bytes]:
        if file.kind == "video":
            return digest_of(file.path), b""
        data = read_bytes(file.path, limits=self.limits)
        return hashlib.sha256(data).hexdigest(), data

    # -------------------------------------------------------------------------------------------------------- pictures

    def _told(self, work: Sequence[_Work]) -> Iterator[ContentTold]:
        photos = []
        for one in work:
            if one.content.kind == "video":
                yield self._video(one)
                continue
            try:
                photos.append((one, self._look(one)))
            except ImageError as error:
                yield ContentTold(one.content.id, str(error))
        if photos:
            yield from self._photos(photos)

    def _look(self, work: _Work) -> ContentTold:
        """What needs no model: the facts in the file, and the perceptual hash. Raises ImageError."""
        seen = open_image(work.data, limits=self.limits, side=SEEN_SIDE)
        beside = sidecar_of(work.path)
        facts = _by_people(photo_facts(work.data, sidecar=_bytes_of(beside), limits=self.limits))
        return ContentTold(work.content.id, facts=facts, likeness=likeness(seen))

    def _photos(self, looked: Sequence[tuple[_Work, ContentTold]]) -> Iterator[ContentTold]:
        wants = self.wants
        contents = [work.content for work, _ in looked]
        lacking_both = [one.lacks_caption(wants) and one.lacks_vectors(wants) for one in contents]
        seen: list[Seen | bytes | ImageError] = [
            self._seen(work.data) if both else work.data for (work, _), both in zip(looked, lacking_both, strict=True)
        ]
        captions = self._captions(seen, [one.lacks_caption(wants) for one in contents])
        vectors = self._vectors(seen, [one.lacks_vectors(wants) for one in contents])
        texts = self._texts([work.data if self._unread(work.content) else None for work, _ in looked])
        sentences = self._caption_vectors(contents, captions, vectors)
        for place, (_, told) in enumerate(looked):
            caption, vector, text = captions[place], vectors[place], texts[place]
            results = (seen[place], caption, vector, text)
            failure = next((one for one in results if isinstance(one, ImageError)), None)
            if failure or isinstance(caption, ImageError) or isinstance(vector, ImageError):
                yield replace(told, error=str(failure))
                continue
            item = ItemTold(
                caption=caption.text if caption else None,
                score=caption.score if caption else None,
                text=text if isinstance(text, str) else None,
                image_vector=vector.vector if vector else None,
                caption_vector=sentences.get(place),
            )
            yield replace(
                told,
                items=(item,),
                captioned_by=self.model.name if caption else None,
                space=wants.space if vector or place in sentences else None,
                read_by="read" if isinstance(text, str) else None,
            )

    def _seen(self, data: bytes) -> Seen | ImageError:
        try:
            return self.model.see(data)
        except ImageError as error:
            return error

    def _captions(
        self, images: Sequence[Seen | bytes | ImageError], wanted: Sequence[bool]
    ) -> list[Caption | ImageError | None]:
        places = [at for at, one in enumerate(images) if wanted[at] and not isinstance(one, ImageError)]
        found: list[Caption | ImageError | None] = [None] * len(images)
        if places:
            usable = [one for one in (images[at] for at in places) if not isinstance(one, ImageError)]
            for at, caption in zip(places, self.model.captions(usable), strict=True):
                found[at] = caption
        return found

    def _vectors(
        self, images: Sequence[Seen | bytes | ImageError], wanted: Sequence[bool]
    ) -> list[Embedding | ImageError | None]:
        places = [at for at, one in enumerate(images) if wanted[at] and not isinstance(one, ImageError)]
        found: list[Embedding | ImageError | None] = [None] * len(images)
        if places:
            usable = [one for one in (images[at] for at in places) if not isinstance(one, ImageError)]
            for at, vector in zip(places, self.model.embed_images(usable), strict=True):
                found[at] = vector
        return found

    def _caption_vectors(
        self,
        contents: Sequence[Content],
        captions: Sequence[Caption | ImageError | None],
        vectors: Sequence[Embedding | ImageError | None],
    ) -> dict[int, np.ndarray]:
        """The vector of each caption that is new, or whose picture's vector is."""
        texts: dict[int, str] = {}
        for place, content in enumerate(contents):
            caption, vector = captions[place], vectors[place]
            if not self.wants.space or not (isinstance(caption, Caption) or isinstance(vector, Embedding)):
                continue
            said = caption.text if isinstance(caption, Caption) else self._kept_caption(content)
            if said.strip():
                texts[place] = said
        if not texts:
            return {}
        return {
            place: one.vector for place, one in zip(texts, self.model.embed_texts(list(texts.values())), strict=True)
        }

    def _kept_caption(self, content: Content) -> str:
        rows = self.library.rows("SELECT caption FROM items WHERE content = ? AND start IS NULL", [content.id])
        return str(rows[0][0]) if rows else ""

    def _unread(self, content: Content) -> bool:
        return self.reader is not None and content.read_by is None

    def _texts(self, images: Sequence[bytes | None]) -> list[str | ImageError | None]:
        if self.reader is None:
            return [None] * len(images)
        return [None if one is None else _text(self.reader, one) for one in images]

    # ---------------------------------------------------------------------------------------------------------- videos

    def _video(self, work: _Work) -> ContentTold:
        """A video scene by scene, each with the vector of the frame in its middle."""
        from seesay.videos import tell

        content = work.content
        if not (content.lacks_caption(self.wants) or content.lacks_vectors(self.wants)):
            return ContentTold(content.id)
        if not self.wants.captioned_by:  # scenes are made of captions
            return ContentTold(content.id, space=self.wants.space or None)
        try:
            video = tell(self.model, work.path, every=self.every, limits=self.limits)
            vectors = self._frame_vectors(work.path, video)
        except (ImageError, MissingExtra) as error:
            return ContentTold(content.id, str(error))
        sentences = self._scene_texts(video)
        items = tuple(
            ItemTold(
                start=scene.start,
                stop=scene.end,
                caption=scene.text,
                score=max((one.score for _, one in scene.captions if one.score is not None), default=None),
                image_vector=vectors.get(place),
                caption_vector=sentences.get(place),
            )
            for place, scene in enumerate(video.scenes)
        )
        space = self.wants.space or None
        return ContentTold(content.id, items=items, captioned_by=self.wants.captioned_by, space=space)

    def _frame_vectors(self, path: Path, video: Video) -> dict[int, np.ndarray]:
        from seesay.videos import frames

        if not self.wants.space:
            return {}
        wanted = {scene.captions[len(scene.captions) // 2][0]: place for place, scene in enumerate(video.scenes)}
        found: dict[int, np.ndarray] = {}
        for frame in frames(path, self.every, limits=self.limits):
            place = wanted.get(frame.time)
            if place is not None:
                found[place] = self.model.embed_image(frame.image).vector
        return found

    def _scene_texts(self, video: Video) -> dict[int, np.ndarray]:
        texts = {place: scene.text for place, scene in enumerate(video.scenes) if scene.text.strip()}
        if not self.wants.space or not texts:
            return {}
        return {
            place: one.vector for place, one in zip(texts, self.model.embed_texts(list(texts.values())), strict=True)
        }


def usable(folders: Iterable[str | Path], known: Sequence[Path] = ()) -> list[Path]:
    """The folders' whole paths. Raises UsageError for one that is neither there nor known."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path in paths:
        if not path.is_dir() and path not in known:
            raise UsageError(f"{path} is no folder", "Name folders that hold photographs.")
    return paths


def _event(path: Path, one: Registered, wants: Wants, told: ContentTold | None) -> Event:
    if told:
        return Event(path, "failed", ImageError(told.error)) if told.error else Event(path, "indexed")
    if one.content.error:
        return Event(path, "failed", ImageError(one.content.error))
    if one.content.lacks(wants):
        return Event(path, "elsewhere")
    return Event(path, one.status if one.status in ("moved", "copy") else "known")


def _by_people(facts: PhotoFacts) -> PhotoFacts:
    """Without descriptions that a machine wrote, ours among them: they would be found as if somebody had said so."""
    return replace(facts, description=next(iter(by_people(facts.descriptions)), "")[:LONGEST])


def _bytes_of(path: Path | None) -> bytes:
    try:
        return path.read_bytes()[: DEFAULT_LIMITS.bytes] if path else b""
    except OSError:
        return b""


def _text(reader: Reader, data: bytes) -> str | ImageError:
    try:
        return reader.read(data).text
    except ImageError as error:
        return error
