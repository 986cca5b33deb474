"""Whether the process serves, and whether it should be given work.

Degraded counts as ready: a balancer must never take every server out because something behind all of them is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from .answers import json_answer
from .parts import Health, PartHealth


def health_routes(health: Health) -> APIRouter:
    """Return the routes below ``/health``."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.head("/live", include_in_schema=False)
    @routes.get("/live", response_model=dict[str, str], summary="Is the process alive?")
    async def live() -> Response:
        """200 while the process serves; 503 asks for a restart."""
        return json_answer({"status": "live"}) if health.live() else json_answer({"status": "down"}, 503)

    @routes.head("/ready", include_in_schema=False)
    @routes.get(
        "/ready",
        response_model=dict[str, Any],
        summary="Should this server be given work?",
        responses={503: {"description": "Down: a part that is needed does not work."}},
    )
    async def ready() -> Response:
        """`status` is `ready`, `degraded` (200: serve, but look) or `down` (503); `parts` says which part and why."""
        parts = await health.parts()
        status = overall(parts)
        shown = {part.name: _part_object(part) for part in parts}
        return json_answer({"status": status, "parts": shown}, 503 if status == "down" else 200)

    return routes


def overall(parts: Sequence[PartHealth]) -> str:
    """Return ``down`` if a needed part is, ``degraded`` if another is, else ``ready``."""
    if any(part.needed and not part.ok for part in parts):
        return "down"
    return "ready" if all(part.ok for part in parts) else "degraded"


def _part_object(part: PartHealth) -> dict[str, str]:
    shown = {"status": "up" if part.ok else "down"}
    if part.reason:
        shown["reason"] = part.reason
    return shown
