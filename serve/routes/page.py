"""`GET /`: a page on which a person pastes a listing and sees tags, how sure they are, and why. It knows files, no answer.

The page needs nothing from elsewhere and may do nothing but ask this server (Content-Security-Policy).
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

WEB = Path(__file__).parents[1] / "web"
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "page.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """The page."""
    return _file("index.html")


@router.get("/web/{name}")
async def part(name: str) -> FileResponse:
    """What the page is made of, and no other file."""
    if name not in TYPES:
        raise HTTPException(404, "Not Found")
    return _file(name)


def _file(name: str) -> FileResponse:
    return FileResponse(WEB / name, headers=HEADERS, media_type=TYPES[name])
