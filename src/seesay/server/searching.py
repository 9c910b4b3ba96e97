"""The photo library, searched over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from seesay.describe import Describer
from seesay.library import Found, Hit, Query
from seesay.server.bodies import Asked, Moment, described, read, somewhere
from seesay.server.native import digits
from seesay.server.service import Serving

router = APIRouter(prefix="/v1", tags=["library"])


class SearchRequest(Asked):
    text: str = Field("", description='Words, in any order; "in quotes" as a phrase.')
    image: str | bytes | None = Field(None, description="Pictures like this one.")
    after: Moment | None = Field(None, description="Taken then or later.")
    before: Moment | None = None
    near: tuple[float, float] | str | None = Field(None, description="Degrees north and east, or a place's name.")
    within: float = Field(10.0, gt=0, description="Kilometres from there.")
    camera: str = ""
    limit: int = Field(20, ge=1, le=1000)
    rerank: int = Field(6, ge=0, le=64, description="How many of the best are read again.")
    cut: float = Field(0.5, ge=0, le=1, description="0 shows unlikely ones too.")


class WhyFound(BaseModel):
    words: dict[str, list[str]] = Field(description="By column, the words as they stand there.")
    missing: list[str]
    scores: dict[str, float | None]
    ranks: dict[str, int]


class OneHit(BaseModel):
    item: int
    path: str
    caption: str
    start: float | None = Field(description="Seconds, where it is a scene of a video.")
    stop: float | None
    taken: str | None
    place: str
    camera: str
    copies: list[str]
    score: float
    why: WhyFound


class SearchResponse(BaseModel):
    hits: list[OneHit]
    searched: int
    dismissed: int
    left_out: list[str] = Field(description="Parts of the search that had to be left out, and why.")


@router.post("/search", openapi_extra=described(SearchRequest))
async def search(asked: Annotated[SearchRequest, Depends(read(SearchRequest))], service: Serving) -> SearchResponse:
    """Photographs of the library by words, by a picture, or both, with the reasons."""
    names = ("text", "after", "before", "within", "camera", "limit", "rerank", "cut")
    chosen: dict[str, Any] = {name: getattr(asked, name) for name in names}
    like = None if asked.image is None else await service.picture(asked.image)
    query = Query(like=like, near=somewhere(asked.near or ""), **chosen)
    find: Callable[[Describer], Found] = partial(service.search.find, query)
    found = await service.worker.call(asked.model, find)
    return SearchResponse(
        hits=[hit_row(hit) for hit in found.hits],
        searched=found.searched,
        dismissed=found.dismissed,
        left_out=list(found.left_out),
    )


def hit_row(hit: Hit) -> OneHit:
    """What programs are told of a photograph that was found."""
    why = hit.why
    names = ("bm25", "image", "caption", "likely", "match")
    return OneHit(
        item=hit.item,
        path=str(hit.path),
        caption=hit.caption,
        start=hit.start,
        stop=hit.stop,
        taken=hit.taken.isoformat() if hit.taken else None,
        place=hit.place,
        camera=hit.camera,
        copies=[str(path) for path in hit.copies],
        score=round(hit.score, 6),
        why=WhyFound(
            words={name: list(words) for name, words in why.words.items()},
            missing=list(why.missing),
            scores={name: digits(getattr(why, name)) for name in names},
            ranks={str(part): rank for part, rank in why.ranks.items()},
        ),
    )
