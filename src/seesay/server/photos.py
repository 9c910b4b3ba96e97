"""The photo library's own endpoints, under /v1/library: what the web page shows and changes.

Covers: pictures are named by their number in the library, never by a path, so that only files which were indexed can be
had; what changes something (captions, uploads, folders) is for callers with a key, or for this machine alone where only
this machine is served; folders of the server can be named only then.

Does not cover: other people with an account on this machine, who may ask as its owner may. Give --keys there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi import Query as Given
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

import seesay
from seesay.describe import ABLE, Describer, as_blip
from seesay.errors import CapabilityError, DataError, UsageError
from seesay.images import open_image
from seesay.images.decode import known
from seesay.images.formats import EXTENSIONS, Format
from seesay.library import Library, Query
from seesay.library.editing import Version, edit, embed_caption, history, restore, undo_edit
from seesay.library.export import to_coco, to_csv, to_jsonl, to_xmp
from seesay.library.listing import Record, facets, listed, record, records
from seesay.server.bodies import Moment, somewhere
from seesay.server.intake import Intake
from seesay.server.refusals import Refusal
from seesay.server.service import Service, Serving
from seesay.server.thumbnails import Thumbnails

router = APIRouter(prefix="/v1/library", tags=["library"])
EXAMPLES = Path(seesay.__file__).with_name("builtin")
SIDE = 2048
"""Pixels of the longer side of a picture as it is shown."""
SUFFIXES = {Format.JPEG: ".jpg", Format.HEIF: ".heic"}
"""Of formats that are not called by their own name."""
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""For addresses that hold the digest of what they show."""
OURS = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
"""Pages of others may not show pictures of ours."""
Only = Given(description="These alone, as numbers with commas between.")
LARGEST = 2**63 - 1
"""What a database's number holds."""
Item = Annotated[int, InPath(ge=0, le=LARGEST)]
Result = TypeVar("Result")


class Filters(BaseModel):
    """Which photographs."""

    after: Moment | None = None
    before: Moment | None = None
    near: str = ""
    within: float = 10.0
    camera: str = ""


class OnePhoto(BaseModel):
    """A photograph, or a video by its first scene, in a list."""

    item: int
    key: str = Field(description="Of its bytes; an address with it may be kept for ever.")
    name: str
    kind: str
    caption: str
    edited: bool
    taken: str | None


class Listing(BaseModel):
    total: int
    photos: list[OnePhoto]


class OneVersion(BaseModel):
    id: int | None
    caption: str
    author: str = Field(description="The model; empty: a person.")
    made: str | None
    current: bool


class Known(OnePhoto):
    """All that is known of one."""

    paths: list[str]
    log_probability: float | None
    author: str
    text: str
    start: float | None
    stop: float | None
    camera: str
    place: str
    coordinates: tuple[float, float] | None
    people: list[str]
    keywords: list[str]
    description: str
    versions: list[OneVersion]


class About(BaseModel):
    """The library as a whole."""

    there: bool
    name: str
    photos: int
    videos: int
    failed: int
    missing: int
    folders: list[str]
    cameras: list[tuple[str, int]]
    first: str | None
    last: str | None
    located: int
    may_change: bool
    may_index: bool


class Model(BaseModel):
    """The model that answers."""

    name: str
    capabilities: list[str]
    cannot: dict[str, str] = Field(description="For each verb that it lacks a sentence that says which model has it.")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Caption(Strict):
    caption: str


class Restored(Strict):
    version: int | None = Field(
        None, ge=0, le=LARGEST, description="One of its history; the one before the present by default."
    )


class Folders(Strict):
    folders: list[str] = Field([], description="Paths on the server; none: those of before.")


class Indexing(BaseModel):
    running: bool
    folders: list[str]
    files: int
    done: int
    became: dict[str, int]
    error: str


class Uploaded(BaseModel):
    item: int


# ------------------------------------------------------------------------------------------------------- what is there


@router.get("")
def about(service: Serving) -> About:
    """What the library holds, what it can be filtered by, and what this caller may change."""
    may: dict[str, Any] = {"may_change": _may_change(service), "may_index": service.settings.local}
    name = str(service.settings.machine.library).partition("?")[0].rpartition("/")[2]
    if not _there(service):
        empty: dict[str, Any] = dict.fromkeys(("photos", "videos", "failed", "missing", "located"), 0)
        return About(there=False, name=name, folders=[], cameras=[], first=None, last=None, **empty, **may)

    def told(library: Library) -> About:
        found, counts = facets(library), library.counts()
        return About(
            there=True,
            name=name,
            photos=counts["photos"],
            videos=counts["videos"],
            failed=counts["failed"],
            missing=counts["missing"],
            folders=[_text(folder) for folder in library.folders()] if may["may_index"] else [],
            cameras=list(found.cameras),
            first=_iso(found.first),
            last=_iso(found.last),
            located=found.located,
            **may,
        )

    return _asked(service, told)


@router.get("/model")
async def model(service: Serving) -> Model:
    """The model behind the page, and what it can do."""
    name = service.worker.name_of(None)
    can = set(await service.worker.capabilities(None))
    cannot = {verb: _unable(name, *ABLE[verb]) for verb in ABLE if verb not in can}
    if await service.worker.call(None, _explains):
        can.add("explain")
    else:
        cannot["explain"] = _unable(name, "show where its words looked", ABLE["match"][1])
    return Model(name=name, capabilities=sorted(can), cannot=cannot)


@router.get("/examples/{name}", response_class=FileResponse)
def example(name: Literal["astronaut", "cat", "coffee", "rocket"]) -> FileResponse:
    """A photograph of the package's own, to try the model on."""
    return FileResponse(EXAMPLES / f"{name}.jpg", headers=OURS)


@router.get("/photos")
def photos(
    service: Serving,
    chosen: Annotated[Filters, Given()],
    offset: Annotated[int, Given(ge=0)] = 0,
    limit: Annotated[int, Given(ge=1, le=1000)] = 100,
    items: Annotated[str, Only] = "",
) -> Listing:
    """Photographs with these filters, the newest first, a page of them; or those that are named, in their order."""
    numbers = _numbers(items)

    def told(library: Library) -> Listing:
        chosen_items = listed(library, _filters(chosen)) if numbers is None else numbers
        shown = [_photo(one) for one in records(library, chosen_items[offset : offset + limit])]
        return Listing(total=len(chosen_items), photos=shown)

    return _asked(service, told)


@router.get("/photos/{item}")
def photo(service: Serving, item: Item) -> Known:
    """All that is known of a photograph, and every caption that it had."""
    return _asked(service, lambda library: _known(record(library, item), history(library, item)))


@router.get("/photos/{item}/thumbnail", response_class=Response)
def thumbnail(service: Serving, item: Item, side: Annotated[int, Given(ge=64, le=512)] = 320) -> Response:
    """A small JPEG."""
    found = _asked(service, lambda library: record(library, item))
    made = Thumbnails(service.settings.machine.cache, service.settings.limits).of(found, side)
    return Response(made, media_type="image/jpeg", headers={**FOREVER, **OURS})


@router.get("/photos/{item}/picture", response_class=Response)
def picture(service: Serving, item: Item) -> Response:
    """The picture upright and as a JPEG of at most 2,048 pixels, whatever its format; of a video the scene's frame."""
    found = _asked(service, lambda library: record(library, item))
    made = Thumbnails(service.settings.machine.cache, service.settings.limits).picture(found, SIDE)
    return Response(made, media_type="image/jpeg", headers={**FOREVER, **OURS})


@router.get("/photos/{item}/original", response_class=FileResponse)
def original(service: Serving, item: Item) -> FileResponse:
    """The file itself."""
    path = _asked(service, lambda library: record(library, item)).paths[0]
    if not path.is_file():
        raise DataError(f"{path.name} is not there any more", "Index its folder again.")
    return FileResponse(path, filename=_text(Path(path.name)), content_disposition_type="inline", headers=OURS)


# ------------------------------------------------------------------------------------------------------------ captions


@router.put("/photos/{item}/caption")
async def write_caption(service: Serving, item: Item, said: Caption) -> Known:
    """A person's caption in place of the one that stands there, which stays in the history."""
    return await _changed(service, item, lambda library: edit(library, item, said.caption))


@router.post("/photos/{item}/caption/undo")
async def undo(service: Serving, item: Item, wanted: Restored | None = None) -> Known:
    """The caption before the present one in force again, or another of the history."""
    version = wanted.version if wanted else None

    def back(library: Library) -> None:
        if version is not None:
            restore(library, item, version)
        elif not undo_edit(library, item):
            raise UsageError("There is nothing to undo", "Nobody has edited this caption.")

    return await _changed(service, item, back)


async def _changed(service: Service, item: int, change: Callable[[Library], object]) -> Known:
    _check_may_change(service)
    await run_in_threadpool(_asked, service, change)

    def vector(model: Describer) -> None:
        with Library(service.settings.machine.library) as library:
            embed_caption(library, item, model)

    if "embed" in await service.worker.capabilities(None):
        await service.worker.call(None, vector)
    return await run_in_threadpool(photo, service, item)


# ------------------------------------------------------------------------------------------------- what comes into it


@router.post("/photos", openapi_extra={"requestBody": {"content": {"image/*": {}}, "required": True}})
async def upload(service: Serving, request: Request, name: str = "photograph") -> Uploaded:
    """A photograph into the library: its bytes are the body. It is kept in a folder beside the library's file."""
    _check_may_change(service)
    data = await request.body()
    digest = hashlib.sha256(data).hexdigest()
    item = await run_in_threadpool(_item_of, service, digest)
    if item is None:
        folder = await run_in_threadpool(_keep, service, name, data)
        await _intake(request).take(folder)
        item = await run_in_threadpool(_item_of, service, digest)
    if item is None:
        raise UsageError(f"{name} could not be indexed", "Try it alone: seesay caption.")
    return Uploaded(item=item)


def _item_of(service: Service, digest: str) -> int | None:
    if not _there(service):
        return None
    query = (
        "SELECT min(i.id) FROM items i JOIN contents c ON c.id = i.content JOIN files f ON f.content = c.id "
        "WHERE c.digest = ? AND f.missing IS NULL"
    )
    return _asked(service, lambda library: library.rows(query, [digest]))[0][0]  # type: ignore[no-any-return]


def _keep(service: Service, name: str, data: bytes) -> Path:
    """Writes the photograph into the folder of uploads, in one step, under a name that is free. Raises ImageError."""
    kind = known(data, service.settings.limits)
    open_image(data, limits=service.settings.limits, side=64)
    place = service.settings.machine.library
    if not isinstance(place, Path):
        raise UsageError("A library in a database has no folder for uploads", "At the server: seesay index FOLDER.")
    folder = place.absolute().with_name(f"{place.stem}-photos")
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = os.path.splitext(os.path.basename(name.replace("\\", "/")))
    stem = _cut(re.sub(r"[^\w .()-]", "_", stem).strip(" ."), 200) or "photograph"
    suffix = suffix.lower() if suffix.lower() in EXTENSIONS else SUFFIXES.get(kind, f".{kind.value.lower()}")
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")
    try:
        with open(handle, "wb") as file:
            file.write(data)
        for number in range(1, 10_000):
            with contextlib.suppress(FileExistsError):
                _name(partial, folder / f"{stem}{'' if number == 1 else f' {number}'}{suffix}")
                break
    finally:
        Path(partial).unlink(missing_ok=True)
    return folder


def _cut(name: str, most: int) -> str:
    """So many bytes of a name at most, which is how file systems count."""
    return name.encode()[:most].decode(errors="ignore")


def _name(partial: str, free: Path) -> None:
    """A file under its name. Raises FileExistsError where that is taken, as a rename would not."""
    try:
        os.link(partial, free)
    except FileExistsError:
        raise
    except OSError:  # exFAT and many network drives know no links
        free.open("xb").close()
        os.replace(partial, free)


@router.post("/index", status_code=202)
async def index(service: Serving, request: Request, wanted: Folders) -> Indexing:
    """Index folders of this machine in the background; `GET` says how far it is."""
    _check_may_change(service)
    if not service.settings.local:
        raise Refusal(403, "Folders of the server are not named from elsewhere", "At the server: seesay index FOLDER.")
    paths = [Path(os.path.expanduser(one)) for one in wanted.folders]
    for path in paths:
        if not path.is_absolute() or not os.path.isdir(path):
            remedy = "Give its whole path, such as /home/me/Pictures."
            raise UsageError(f"{str(path)[:200]} is no folder of this machine", remedy)
    await _intake(request).start(paths)
    return progress(request)


@router.get("/index")
def progress(request: Request) -> Indexing:
    """How far the indexing of folders is."""
    found = _intake(request).progress
    return Indexing(
        running=found.running,
        folders=list(found.folders),
        files=found.files,
        done=found.done,
        became=dict(found.became),
        error=found.error,
    )


# -------------------------------------------------------------------------------------------------------------- export

Form = Literal["csv", "jsonl", "coco", "xmp"]
FORMS: Mapping[Form, tuple[str, str]] = {
    "csv": ("captions.csv", "text/csv; charset=utf-8"),
    "jsonl": ("captions.jsonl", "application/jsonl; charset=utf-8"),
    "coco": ("captions.json", "application/json"),
    "xmp": ("side-cars.zip", "application/zip"),
}
LINES = {"csv": to_csv, "jsonl": to_jsonl, "coco": to_coco}


@router.get("/export", response_class=StreamingResponse)
def export(
    service: Serving,
    chosen: Annotated[Filters, Given()],
    form: Annotated[Form, Given(alias="format")] = "csv",
    items: Annotated[str, Only] = "",
) -> Response:
    """The captions as a file: CSV, JSON lines, COCO's annotations, or an archive of XMP side-cars."""
    name, kind = FORMS[form]
    numbers = _numbers(items)
    _asked(service, lambda library: None)  # a missing library is told before the answer begins
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **OURS}
    return StreamingResponse(_exported(service, form, _filters(chosen), numbers), media_type=kind, headers=headers)


def _exported(service: Service, form: Form, filters: Query | None, numbers: list[int] | None) -> Iterator[bytes]:
    """Piece by piece. The steps of a generator come from different threads, and a library is for one: what is sent is
    written to a file first."""
    with tempfile.TemporaryFile() as file:

        def write(library: Library) -> None:
            found = records(library, listed(library, filters) if numbers is None else numbers)
            if form == "xmp":
                to_xmp(library, found, file)
            else:
                file.writelines(line.encode() for line in LINES[form](found))

        _asked(service, write)
        file.seek(0)
        yield from iter(partial(file.read, 2**16), b"")


# --------------------------------------------------------------------------------------------------------------- parts


def _there(service: Service) -> bool:
    place = service.settings.machine.library
    return not isinstance(place, Path) or place.exists()


def _asked(service: Service, ask: Callable[[Library], Result]) -> Result:
    """What `ask` makes of the library, in this thread. Raises DataError where there is none."""
    if not _there(service):
        raise DataError("There is no photo library here", "Add photographs, or make one: seesay index FOLDER.")
    with Library(service.settings.machine.library) as library:
        return ask(library)


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


def _may_change(service: Service) -> bool:
    return service.settings.local or bool(service.settings.keys)


def _check_may_change(service: Service) -> None:
    if not _may_change(service):
        raise Refusal(403, "Everybody may ask this server, so nobody may change its library", "Start it with --keys.")


def _unable(name: str, words: str, able: str) -> str:
    return f"{name} cannot {words}. One that can: seesay serve --model {able}"


def _explains(model: Describer) -> bool:
    try:
        as_blip(model, "explain itself")
    except CapabilityError:
        return False
    return True


def _numbers(items: str) -> list[int] | None:
    if items and not re.fullmatch(r"\d{1,18}(,\d{1,18})*", items):
        raise UsageError(f"items={items[:50]} are no numbers", "Such as items=3,17.")
    return [int(one) for one in items.split(",")] if items else None


def _filters(chosen: Filters) -> Query | None:
    """As the library takes them; None for none. Raises UsageError for a place that is on no globe."""
    near = somewhere(chosen.near)
    if not (near or chosen.camera or chosen.after or chosen.before):
        return None
    return Query(near=near, within=chosen.within, camera=chosen.camera, after=chosen.after, before=chosen.before)


def _photo(one: Record) -> OnePhoto:
    return OnePhoto(**_short(one))


def _short(one: Record) -> dict[str, Any]:
    return {
        "item": one.item,
        "key": one.digest[:16],
        "name": _text(Path(one.paths[0].name)),
        "kind": one.kind,
        "caption": one.caption,
        "edited": not one.author and bool(one.caption),
        "taken": _iso(one.taken),
    }


def _known(one: Record, versions: list[Version]) -> Known:
    return Known(
        **_short(one),
        paths=[_text(path) for path in one.paths],
        log_probability=None if one.score is None else round(one.score, 4),
        author=one.author,
        text=one.text,
        start=one.start,
        stop=one.stop,
        camera=one.camera,
        place=one.place,
        coordinates=one.coordinates,
        people=list(one.people),
        keywords=list(one.keywords),
        description=one.description,
        versions=[
            OneVersion(id=v.id, caption=v.caption, author=v.author, made=_iso(v.made), current=v.current)
            for v in versions
        ],
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _text(path: Path) -> str:
    """A path as text that JSON can hold."""
    return str(path).encode("utf-8", "replace").decode()
