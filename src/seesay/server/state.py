"""How the server is: alive, ready, what it counted, and what it can be asked."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from seesay.server.reference import page
from seesay.server.service import Serving

router = APIRouter(tags=["state"])


@router.get("/health")
async def health() -> Mapping[str, str]:
    """Whether the process lives: always, where this answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(service: Serving) -> Response:
    """Whether a request would be answered: 503 while the first model loads, if it cannot be loaded, and at the end."""
    problem = service.worker.problem
    told = {"status": problem or "ready", "models": list(service.settings.names), "loaded": list(service.worker.loaded)}
    return JSONResponse(told, 503 if problem else 200)


@router.get("/metrics", include_in_schema=False)
async def metrics(service: Serving) -> Response:
    """For Prometheus."""
    service.metrics.loaded.set(len(service.worker.loaded))
    return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Everything that can be asked, as a page that needs no other host."""
    return HTMLResponse(page(request.app.openapi()))
