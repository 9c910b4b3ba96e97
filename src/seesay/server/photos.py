"""The photo library's own endpoints, under /v1/library."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/v1/library", tags=["library"])
