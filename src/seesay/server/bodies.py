"""Requests that bring a picture: as JSON with the picture in it, or the picture itself with the rest in the address.
And what several requests hold."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from seesay.errors import UsageError

Body = TypeVar("Body", bound=BaseModel)


def _whole(moment: object) -> object:
    """A year or a month as its first day, as the command line takes them."""
    text = str(moment)
    if re.fullmatch(r"\d{4}(-\d{2})?", text, re.ASCII):
        return f"{text}-01" if "-" in text else f"{text}-01-01"
    return moment


def _local(moment: datetime) -> datetime:
    """Photographs tell their own clock's time: a zone has no say."""
    return moment.replace(tzinfo=None)


Moment = Annotated[datetime, BeforeValidator(_whole), AfterValidator(_local)]
"""When a photograph was taken: 2024, 2024-05, 2024-05-17, 2024-05-17T12:30:00."""


def somewhere(near: tuple[float, float] | str) -> tuple[float, float] | str | None:
    """Degrees north and east, or a place's name; None for "". Raises UsageError for what is on no globe."""
    try:
        north, east = map(float, near.split(",")) if isinstance(near, str) else near
    except ValueError:
        return str(near).strip() or None
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        raise UsageError(f"{near} is nowhere on the globe", "Degrees north, then east, such as 52.5, 13.4.")
    return north, east


class Asked(BaseModel):
    """A request; a name that it does not know is refused, since nobody writes it to be passed over."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Which of the server's models (GET /v1/models); the first by default.")


class AskedOfPicture(Asked):
    """A request about a picture."""

    image: str | bytes = Field(
        description="A data: URI, or base64; an http(s) address where the operator allowed its host."
    )


class JsonRoute(APIRoute):
    """Takes every body for JSON, as OpenAI's and Ollama's own servers do: `curl -d`, as their documentation writes it,
    calls it a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            others = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
            headers = [*others, (b"content-type", b"application/json")]
            return await handle(Request({**request.scope, "headers": headers}, request.receive))

        return handler


def read(kind: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads a request: JSON, or bytes of a picture (Content-Type image/...) with a query."""

    async def reader(request: Request) -> Body:
        body = await request.body()
        try:
            if is_picture(request.headers.get("content-type", "")):
                query: dict[str, Any] = {name: values_of(request, name, kind) for name in request.query_params}
                return kind.model_validate({**query, "image": body})
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_context=False, include_input=False)) from error

    return reader


def is_picture(content_type: str) -> bool:
    return content_type.lower().startswith(("image/", "application/octet-stream"))


def values_of(request: Request, name: str, kind: type[BaseModel]) -> str | list[str]:
    """A parameter of the query: a list where the request's field is one, however often it stands there."""
    values = request.query_params.getlist(name)
    field = kind.model_fields.get(name)
    return values if field is not None and "list" in str(field.annotation) else values[-1]


def described(kind: type[BaseModel], *, picture: bool = True) -> dict[str, Any]:
    """For OpenAPI: what `read` reads."""
    content: dict[str, Any] = {"application/json": {"schema": kind.model_json_schema()}}
    if picture:
        content["image/*"] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": content}}
