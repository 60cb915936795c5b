"""Palettes: the colours of a picture, given to a style so that what it drew apart stays apart."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mapstyle.audit.colour import ciede2000, to_lab
from mapstyle.errors import SourceError, StyleError
from mapstyle.style import Style

Lab = NDArray[np.float64]
Key = tuple[str | int, ...]
"""Where a colour stands in a style: names of tables, places in lists."""

APART = 8.0
"""Mean CIEDE2000 difference that classes of things keep, where the style had it."""
SWATCHES = 14
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
_MOST_PIXELS = 100_000_000
_MOST_BYTES = 500_000_000
_SIDE = 192
"""Pixels on the longer side of what is looked at: a palette needs no more."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LIGHTNESS = 0.4
"""Share of the picture's own range of lightness that a style takes on; a night scene does not blacken paper."""
_KEPT = 0.3
"""Share of the difference between a colour and its class that is kept beside the picture's: washes still wander."""

_WORDS: Mapping[str, str] = {
    "water": """water sea ocean lake lakes stream streams river rivers canal basin pool
        shallow shelf deep abyss""",
    "wood": "wood woods forest tree trees crown crowns foliage copse",
    "road": "road roads street service tertiary secondary primary trunk motorway tarmac surface",
    "building": "roof roofs house houses building buildings pitched flats flat",
    "land": "ground residential farmland meadow grass park garden heath orchard vineyard lawns climates",
    "else": "paper ink line lines sepia shadow shadows shade sand beach bank marking label",
    "light": "lamp sky light",
}
_ROLES = {word: name for name, words in _WORDS.items() for word in words.split()}
"""Word in a colour's place -> what it colours. Light is no pigment: it stays as it is."""
_CLASSES = ("water", "wood", "road", "building")


@dataclass(frozen=True)
class Swatches:
    """What a picture is painted with.

    Attributes:
        lab: float64[n, 3], CIE L*a*b*, the largest share first.
        share: float64[n], how much of the picture each stands for.
        darkest, lightest: L* of the 2nd and the 98th of a hundred pixels.
    """

    lab: Lab
    share: NDArray[np.float64]
    darkest: float
    lightest: float


def picture_swatches(path: Path, count: int = SWATCHES) -> Swatches:
    """Find the colours of a picture; the same picture always gives the same ones.

    Raises:
        SourceError: it is missing, broken, too large, or all of one colour.
    """
    pixels = _pixels(path)
    lab = to_lab(pixels[None])[0].astype(np.float64)
    cells, inverse = np.unique(np.floor(lab / 4).astype(np.int64), axis=0, return_inverse=True)
    weight = np.bincount(inverse.ravel(), minlength=len(cells)).astype(np.float64)
    points = np.column_stack([np.bincount(inverse.ravel(), lab[:, i], minlength=len(cells)) / weight for i in range(3)])
    # Small and vivid counts as much as large and dull: a red boat on a grey sea is what one remembers.
    chosen = [int(weight.argmax())]
    near = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        near = np.minimum(near, np.linalg.norm(points - points[chosen[-1]], axis=1))
        score = near * np.power(weight, 0.3)
        if near.max() < 3:
            break
        chosen.append(int(score.argmax()))
    if len(chosen) < 3:
        raise SourceError(f"{path}: is all of one colour; take a picture with several")
    centres = points[chosen]
    for _ in range(12):
        nearest = np.linalg.norm(points[:, None] - centres[None], axis=2).argmin(axis=1)
        share = np.bincount(nearest, weight, minlength=len(centres))
        for i in range(3):
            sums = np.bincount(nearest, weight * points[:, i], minlength=len(centres))
            centres[:, i] = np.where(share > 0, sums / np.maximum(share, 1e-9), centres[:, i])
    order = np.argsort(-share, kind="stable")
    darkest, lightest = np.percentile(lab[:, 0], (2, 98))
    return Swatches(centres[order], share[order] / share.sum(), float(darkest), float(lightest))


def _pixels(path: Path) -> NDArray[np.uint8]:
    """Give the opaque pixels of a picture made small: uint8[n, 3]."""
    from PIL import Image, ImageOps

    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if not path.is_file() or size > _MOST_BYTES:
        raise SourceError(f"{path}: is no picture of at most {_MOST_BYTES // 1_000_000} MB; give a smaller one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Only the header is read before its size is known; far larger ones the decoder itself refuses.
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > _MOST_PIXELS:
                    raise Image.DecompressionBombError
                image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
                flat = image.convert("RGBA" if image.has_transparency_data else "RGB")
                small = ImageOps.contain(flat, (_SIDE, _SIDE)).convert("RGBA")
    except Image.DecompressionBombError:
        most = _MOST_PIXELS // 1_000_000
        raise SourceError(
            f"{path}: is too large for a palette; give it made smaller, at most {most} million pixels"
        ) from None
    except Exception as error:  # decoders raise whatever they like at hostile bytes
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{path}: cannot be read as a picture: {told.replace(str(path), 'it')}") from None
    rgba = np.asarray(small, np.uint8).reshape(-1, 4)
    seen = rgba[rgba[:, 3] > 127, :3]
    if not len(seen):
        raise SourceError(f"{path}: is wholly transparent; take a picture with colours")
    return np.ascontiguousarray(seen)


def colours(look: Style) -> dict[Key, str]:
    """Give every colour that a style paints with, by its place; type is not painted."""

    def walk(key: Key, value: object) -> Iterator[tuple[Key, str]]:
        if isinstance(value, BaseModel):
            for name in type(value).model_fields:
                yield from walk((*key, name), getattr(value, name))
        elif isinstance(value, Mapping):
            for name, part in value.items():
                yield from walk((*key, str(name)), part)
        elif isinstance(value, (list, tuple)):
            for i, part in enumerate(value):
                yield from walk((*key, i), part)
        elif isinstance(value, str) and _COLOUR.fullmatch(value):
            yield key, value.lower()

    return dict((*walk(("painter",), look.painter), *walk(("ink",), look.ink)))


def role(key: Key) -> str:
    """Tell what a colour is for: 'water', 'wood', 'road', 'building', 'land', 'light' or 'else'."""
    for part in reversed(key[1:]):
        for word in str(part).replace("_", "-").split("-"):
            if word in _ROLES:
                return _ROLES[word]
    return "else"


def repaint(old: Mapping[Key, str], swatches: Swatches) -> dict[Key, str]:
    """Give a style's colours anew, from a picture's.

    What was lighter stays lighter; water, wood, roads, buildings and open land stay as far apart as :data:`APART`
    asks where they were.
    """
    keys = [key for key in old if role(key) != "light"]
    if not keys:
        raise StyleError("this style has no colours of its own that a picture could change")
    was = to_lab(np.array([_rgb(old[key]) for key in keys], np.uint8)[None])[0].astype(np.float64)
    roles = np.array([role(key) for key in keys])
    lightness = _lightness(was[:, 0], swatches)
    anchors = _anchors(was, lightness, roles, swatches)
    new = np.column_stack([lightness, np.empty((len(keys), 2))])
    for i, name in enumerate(roles):
        if name in anchors:
            mean = was[roles == name, 1:].mean(axis=0)
            new[i, 1:] = swatches.lab[anchors[name], 1:] + _KEPT * (was[i, 1:] - mean)
        else:
            near = swatches.lab[_distance(was[i], lightness[i], swatches).argmin(), 1:]
            new[i, 1:] = near + 0.5 * _KEPT * (was[i, 1:] - near)
    _part(was, new, roles)
    return {key: _hexadecimal(colour) for key, colour in zip(keys, new, strict=True)}


def apart(values: Mapping[Key, str]) -> dict[tuple[str, str], float]:
    """Tell the difference (CIEDE2000) between the mean colours of any two classes of things that a style colours."""
    lab = to_lab(np.array([_rgb(v) for v in values.values()], np.uint8)[None])[0].astype(np.float64)
    roles = np.array([role(key) for key in values])
    return _apart(lab, roles)


def _apart(lab: Lab, roles: NDArray[np.str_]) -> dict[tuple[str, str], float]:
    means = {name: lab[roles == name].mean(axis=0) for name in (*_CLASSES, "land") if (roles == name).any()}
    return {(a, b): float(ciede2000(means[a], means[b])) for a, b in combinations(means, 2)}


def _lightness(was: NDArray[np.float64], swatches: Swatches) -> NDArray[np.float64]:
    """Move lightness towards the picture's range by a rising line, which keeps its order."""
    low, high = float(was.min()), float(was.max())
    share = (was - low) / max(high - low, 1.0)
    return (1 - _LIGHTNESS) * was + _LIGHTNESS * (swatches.darkest + share * (swatches.lightest - swatches.darkest))


def _distance(was: Lab, lightness: float, swatches: Swatches) -> NDArray[np.float64]:
    """Tell how ill each swatch would stand for a colour: by hue first, then by lightness; rare ones a little worse."""
    apart = np.linalg.norm(swatches.lab[:, 1:] - was[1:], axis=1)
    return apart + 0.35 * np.abs(swatches.lab[:, 0] - lightness) - 6 * np.sqrt(swatches.share)


def _anchors(was: Lab, lightness: NDArray[np.float64], roles: NDArray[np.str_], swatches: Swatches) -> dict[str, int]:
    """Choose a swatch for each class so that all suit and no two fall together: the best of all choices."""
    names = [name for name in _CLASSES if (roles == name).any()]
    count = len(swatches.lab)
    means = [was[roles == name].mean(axis=0) for name in names]
    heights = [float(lightness[roles == name].mean()) for name in names]
    cost = np.zeros((count,) * len(names))
    there = [np.column_stack([np.full(count, h), swatches.lab[:, 1:]]) for h in heights]
    for i in range(len(names)):
        shape = [1] * len(names)
        shape[i] = count
        cost = cost + _distance(means[i], heights[i], swatches).reshape(shape)
    for i, j in combinations(range(len(names)), 2):
        wanted = min(float(ciede2000(means[i], means[j])), 1.5 * APART)
        short = np.maximum(wanted - ciede2000(there[i][:, None], there[j][None]), 0)
        shape = [1] * len(names)
        shape[i] = shape[j] = count
        cost = cost + 4 * short.reshape(shape)
    best = np.unravel_index(int(cost.argmin()), cost.shape)
    return {name: int(at) for name, at in zip(names, best, strict=True)}


def _part(was: Lab, new: Lab, roles: NDArray[np.str_]) -> None:
    """Push classes apart, in place, along the way in which they once differed, until they are far enough."""
    before = _apart(was, roles)
    for turn in range(160):
        shown = to_lab(np.array([_rgb(_hexadecimal(c)) for c in new], np.uint8)[None])[0].astype(np.float64)
        close = [p for p, d in _apart(shown, roles).items() if d < min(before[p], APART + 0.7) and before[p] >= APART]
        if not close:
            return
        for a, b in close:
            way = was[roles == a].mean(axis=0) - was[roles == b].mean(axis=0)
            if turn < 40:
                way[0] = 0  # hue first: lightness has an order to keep
            way /= max(float(np.linalg.norm(way)), 1e-6)
            new[roles == a] += 0.6 * way
            new[roles == b] -= 0.6 * way
        new[:, 0] = np.clip(new[:, 0], 0, 100)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


_FROM_XYZ = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_WHITE = np.array([0.9505, 1.0, 1.089])


def _hexadecimal(lab: Lab) -> str:
    """Write L*a*b* as the sRGB colour there is; what no screen shows loses colour, not lightness."""
    for share in np.linspace(1, 0, 21):
        fy = (lab[0] + 16) / 116
        bent = np.array([fy + share * lab[1] / 500, fy, fy - share * lab[2] / 200])
        xyz = _WHITE * np.where(bent > 6 / 29, bent**3, (bent - 4 / 29) * 108 / 841)
        linear = _FROM_XYZ @ xyz
        if linear.min() > -0.002 and linear.max() < 1.002:
            break
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(v) * 255):02x}" for v in shown)


def rewrite(text: str, look: Style, new: Mapping[Key, str]) -> str:
    """Put colours into the text of a ``style.toml``; comments and order stay, what was left out is written in.

    Args:
        text: what ``look`` was read from.
        look: the style as it is.
        new: place -> colour.
    """
    import tomlkit

    document = tomlkit.parse(text)
    whole = _plain(look, (), new)
    for key in new:
        table: Any = document
        wanted: Any = whole
        for i, part in enumerate(key):
            wanted = wanted[part]
            last = i == len(key) - 1
            if isinstance(part, str) and part not in table:
                table[part] = wanted
                break
            if last:
                if str(table[part]).lower() != new[key]:
                    table[part] = wanted
                break
            table = table[part]
    return tomlkit.dumps(document)


def _plain(value: object, key: Key, new: Mapping[Key, str]) -> Any:
    """Give a setting as TOML has it, with new colours; of a table of settings what holds colours or is no default."""
    if key in new:
        return new[key]
    if isinstance(value, BaseModel):
        out = {}
        for name in type(value).model_fields:
            part = getattr(value, name)
            here = (*key, name)
            if part is not None and (name in value.model_fields_set or any(k[: len(here)] == here for k in new)):
                out[name] = _plain(part, here, new)
        return out
    if isinstance(value, Mapping):
        return {str(name): _plain(part, (*key, str(name)), new) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part, (*key, i), new) for i, part in enumerate(value)]
    return value
