"""The page that shows a folder of tiles: one file that needs no network, no server and nothing beside the tiles."""

import base64
import hashlib
import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from mapstyle.exports.parameters import clean
from mapstyle.exports.picture import write_text
from mapstyle.exports.tilejson import Tileset
from mapstyle.frame import MAX_LATITUDE

PAGE = "index.html"
"""Name of the page in a folder of tiles."""


def write_page(folder: Path, tileset: Tileset) -> None:
    """Write ``index.html``, which pans and zooms the tiles of a folder in any browser, from a disk or the web.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_text(folder / PAGE, page(tileset))


def page(tileset: Tileset) -> str:
    """Give the page; what comes from outside is in it as text alone, and only its own script may run."""
    template, policy = _template()
    filled = {
        "policy": html.escape(policy),
        "title": html.escape(clean(tileset.name)) or "Map",
        "credit": html.escape(clean(tileset.attribution)),
        "tileset": _json(_told(tileset)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)


def _told(tileset: Tileset) -> dict[str, Any]:
    """Give what the script knows of the tiles; the bounds go eastwards, past 180 where they cross it."""
    west, south, east, north = tileset.bounds
    west, east = west + (360 if west < -180 else 0), east + (360 if west < -180 else 0)
    east += 360 if east <= west else 0
    lon, lat, zoom = *tileset.centre[:2], tileset.view[2]
    return {
        "tileSize": tileset.tile_size,
        "pixelRatio": tileset.pixel_ratio,
        "suffix": tileset.format.suffix,
        "tms": tileset.scheme == "tms",
        "minzoom": tileset.minzoom,
        "maxzoom": tileset.maxzoom,
        "bounds": [west, max(south, -MAX_LATITUDE), east, min(north, MAX_LATITUDE)],
        "centre": [west + (lon - west) % 360, lat, zoom],
    }


def _json(told: dict[str, Any]) -> str:
    """Give JSON that cannot end the element it stands in."""
    text = json.dumps(told, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


@cache
def _template() -> tuple[str, str]:
    """Give the page with its gaps, and the policy under which a browser runs its own script and style, and no other.

    Tiles are asked for by name: ``'self'`` is where the page was loaded from, but some browsers hold that a file
    has no such place.
    """
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    digests = {}
    for kind in ("script", "style"):
        own = re.findall(rf"<{kind}>(.*?)</{kind}>", template, re.DOTALL)
        assert len(own) == 1, "one script and one style, so that each has one digest"
        digests[kind] = base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digests['script']}'; style-src 'sha256-{digests['style']}'; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    return template, policy
