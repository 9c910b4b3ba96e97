"""Seesay's own verbs over HTTP: caption, ask, match, embed, explain."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from seesay.asking import AskOptions
from seesay.decoding import SearchOptions
from seesay.describe import CaptionOptions, Describer, Seen, as_blip
from seesay.errors import UsageError
from seesay.explaining import Explanation, Word, explain, overlay, to_html, to_image
from seesay.images import open_image
from seesay.records import Answer, Caption, Match, Provenance
from seesay.server.bodies import Asked, AskedOfPicture, described, read
from seesay.server.service import Serving

router = APIRouter(prefix="/v1", tags=["pictures"])


class Made(BaseModel):
    """How a result came to be."""

    model: str
    precision: str
    options: dict[str, Any]
    milliseconds: float


class Searched(AskedOfPicture):
    """How words are searched for; names and defaults are the command line's."""

    count: int | None = Field(None, ge=1, le=32, description="Sentences, the best first.")
    beams: int | None = Field(None, ge=1, le=32)
    nucleus: bool = Field(False, description="Sample instead of searching.")
    top_p: float | None = None
    temperature: float | None = None
    seed: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=1, le=512)

    def changes(self) -> dict[str, Any]:
        """What was given, as fields of SearchOptions. Raises UsageError for what cannot be meant."""
        if self.nucleus and self.beams:
            raise UsageError("nucleus samples and beams search", "Use one of the two.")
        if self.seed is not None and not self.nucleus:
            raise UsageError("seed has no meaning for beams", "Add nucleus to sample, or leave it out.")
        given = {
            **{name: getattr(self, name) for name in ("count", "beams", "top_p", "temperature", "seed")},
            "nucleus": self.nucleus or None,
            "max_new_tokens": self.max_tokens,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        if self.count and not self.nucleus and not self.beams:
            chosen["beams"] = max(self.count, SearchOptions().beams)  # as many best beams as sentences
        return chosen


# ------------------------------------------------------------------------------------------------------------ captions


class CaptionRequest(Searched):
    prompt: str = Field("", description="Words that the caption starts with.")
    bad_words: list[str] = Field([], description="Words that never appear.")


class Sentence(BaseModel):
    caption: str
    log_probability: float | None = Field(description="Mean of a token's, in nats; null where the model does not tell.")
    flags: list[str]


class CaptionResponse(Made, Sentence):
    alternatives: list[Sentence]


@router.post("/caption", openapi_extra=described(CaptionRequest))
async def caption(asked: Annotated[CaptionRequest, Depends(read(CaptionRequest))], service: Serving) -> CaptionResponse:
    """A sentence about a picture; with `count`, further ones as its alternatives."""
    options = CaptionOptions(prompt=asked.prompt, bad_words=tuple(asked.bad_words), **asked.changes())
    told = await service.worker.caption(asked.model, await service.picture(asked.image), options)
    return CaptionResponse(
        **_sentence(told),
        alternatives=[Sentence(**_sentence(one)) for one in told.alternatives],
        **made(told.provenance),
    )


def _sentence(told: Caption) -> Mapping[str, Any]:
    return {"caption": told.text, "log_probability": rounded(told.score), "flags": list(told.flags)}


# ------------------------------------------------------------------------------------------------------------- answers


class AskRequest(Searched):
    question: str
    answers: list[str] = Field([], description="Answers to choose from, instead of free words.")


class OneAnswer(BaseModel):
    answer: str
    probability: float | None = Field(description="Among those given; else among all that could be written.")
    log_probability: float | None
    flags: list[str]


class AskResponse(Made, OneAnswer):
    question: str
    alternatives: list[OneAnswer]


@router.post("/ask", openapi_extra=described(AskRequest))
async def ask(asked: Annotated[AskRequest, Depends(read(AskRequest))], service: Serving) -> AskResponse:
    """The answer to a question about a picture."""
    options = AskOptions(answers=tuple(asked.answers), **asked.changes())
    told = await service.worker.answer(asked.model, await service.picture(asked.image), asked.question, options)
    return AskResponse(
        question=asked.question,
        **_answer(told),
        alternatives=[OneAnswer(**_answer(one)) for one in told.alternatives],
        **made(told.provenance),
    )


def _answer(told: Answer) -> Mapping[str, Any]:
    sure = {"probability": digits(told.probability), "log_probability": rounded(told.score)}
    return {"answer": told.text, **sure, "flags": list(told.flags)}


# ------------------------------------------------------------------------------------------------- matches and vectors


class MatchRequest(AskedOfPicture):
    texts: list[str] = Field(min_length=1, max_length=256)


class OneMatch(BaseModel):
    text: str
    probability: float | None = Field(description="That text and picture belong together.")
    similarity: float | None = Field(description="Cosine of their vectors.")
    flags: list[str]


class MatchResponse(Made):
    matches: list[OneMatch]


@router.post("/match", openapi_extra=described(MatchRequest))
async def match(asked: Annotated[MatchRequest, Depends(read(MatchRequest))], service: Serving) -> MatchResponse:
    """How well each of the texts belongs to a picture, in the order in which they were given."""
    told = await service.worker.matches(asked.model, await service.picture(asked.image), asked.texts)
    return MatchResponse(matches=[match_row(one) for one in told], **made(told[0].provenance))


def match_row(told: Match) -> OneMatch:
    """What programs are told of a text beside a picture."""
    return OneMatch(
        text=told.text,
        probability=digits(told.probability),
        similarity=digits(told.similarity),
        flags=list(told.flags),
    )


class EmbedRequest(Asked):
    image: str | bytes | None = Field(None, description="A picture, or")
    texts: list[str] | None = Field(None, min_length=1, max_length=256, description="texts.")


class EmbedResponse(BaseModel):
    model: str = Field(description="Vectors of different models say nothing to each other.")
    vectors: list[list[float]] = Field(description="Of unit length; products of a picture's and a text's are cosines.")


@router.post("/embed", openapi_extra=described(EmbedRequest))
async def embed(asked: Annotated[EmbedRequest, Depends(read(EmbedRequest))], service: Serving) -> EmbedResponse:
    """The vector of a picture, or those of texts, comparable with each other."""
    if (asked.image is None) == (asked.texts is None):
        raise UsageError("Give a picture or texts", "One of the two: image, or texts.")
    if asked.image is not None:
        found = [await service.worker.embed_image(asked.model, await service.picture(asked.image))]
    else:
        found = await service.worker.embed_texts(asked.model, asked.texts or [])
    return EmbedResponse(model=found[0].model, vectors=[one.vector.tolist() for one in found])


# -------------------------------------------------------------------------------------------------------- explanations


class ExplainRequest(AskedOfPicture):
    text: str | None = Field(None, description="What to explain; the model's own caption by default.")
    threshold: float = Field(0.5, ge=0, le=1, description="Probability below which a phrase is marked.")
    format: Literal["json", "html", "png"] = Field(
        "json", description="Numbers; a page to choose words on; a sheet of all words."
    )
    word: int | None = Field(
        None,
        ge=0,
        description="With png: where this word looked, transparent, to lay over the picture. The first is 0.",
    )


class OneWord(BaseModel):
    text: str
    supported: bool | None
    probability: float | None
    peak: tuple[float, float] | None = Field(description="From the left and from the top, 0 to 1.")
    strength: float
    elsewhere: float
    heat: list[list[float]]


class OnePhrase(BaseModel):
    text: str
    words: tuple[int, int] = Field(description="The first, and the one behind the last.")
    probability: float | None
    supported: bool | None


class ExplainResponse(Made):
    text: str
    probability: float | None
    method: str
    layer: int
    phrases: list[OnePhrase]
    words: list[OneWord]
    flags: list[str]


PICTURES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/explain",
    openapi_extra=described(ExplainRequest),
    response_model=ExplainResponse,
    responses={200: {"content": {"image/png": PICTURES, "text/html": {"schema": {"type": "string"}}}}},
)
async def explained(asked: Annotated[ExplainRequest, Depends(read(ExplainRequest))], service: Serving) -> Response:
    """Where each word of a text looked in a picture, and what the picture does not bear out."""
    if asked.word is not None and asked.format != "png":
        raise UsageError(f"A word's picture is a PNG, not {asked.format}", "Ask for format png, or leave word out.")
    picture = await service.picture(asked.image)

    def told(model: Describer, seen: Seen) -> Response:
        found = explain(as_blip(model, "explain itself"), seen, asked.text, threshold=asked.threshold)
        return _shown(found, picture, asked, service)

    return await service.worker.see_and_call(asked.model, picture, told)


def _shown(found: Explanation, picture: bytes, asked: ExplainRequest, service: Serving) -> Response:
    if asked.format == "json":
        return JSONResponse(_explanation(found).model_dump())
    image = open_image(picture, limits=service.settings.limits)
    if asked.format == "html":
        return HTMLResponse(to_html(found, image))
    if asked.word is None:
        sheet = to_image(found, image)
    elif asked.word < len(found.words):
        image.thumbnail((1024, 1024))
        sheet = overlay(found.words[asked.word].heat, image.size)
    else:
        raise UsageError(f"There is no word {asked.word} in {found.text!r}", "Words are counted from 0.")
    data = io.BytesIO()
    sheet.save(data, "png")
    return Response(data.getvalue(), media_type="image/png")


def _explanation(found: Explanation) -> ExplainResponse:
    phrases = [
        OnePhrase(
            text=one.text,
            words=(one.words.start, one.words.stop),
            probability=digits(one.probability),
            supported=one.supported,
        )
        for one in found.phrases
    ]
    return ExplainResponse(
        text=found.text,
        probability=digits(found.probability),
        method=found.method,
        layer=found.layer,
        phrases=phrases,
        words=[_word(word) for word in found.words],
        flags=list(found.flags),
        **made(found.provenance),
    )


def _word(word: Word) -> OneWord:
    return OneWord(
        text=word.text,
        supported=word.supported,
        probability=digits(word.probability),
        peak=word.peak,
        strength=round(word.strength, 4),
        elsewhere=round(word.elsewhere, 4),
        heat=[[round(float(value), 4) for value in line] for line in word.heat],
    )


# --------------------------------------------------------------------------------------------------- what all are told


def made(by: Provenance | None) -> dict[str, Any]:
    """How it was made."""
    assert by is not None  # a describer's records say how they were made
    return {
        "model": by.model,
        "precision": by.precision,
        "options": dict(by.options),
        "milliseconds": round(by.milliseconds, 1),
    }


def rounded(value: float | None) -> float | None:
    """A log-probability; None where the model tells none."""
    return None if value is None else round(value, 4)


def digits(value: float | None) -> float | None:
    """Four of them: probabilities may be very small."""
    return None if value is None else float(f"{value:.4g}")
