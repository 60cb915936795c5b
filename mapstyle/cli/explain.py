"""``mapstyle explain``: how a picture was made, from its own metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.exports.metadata import Provenance
    from mapstyle.exports.reading import Found
    from mapstyle.frame import Frame
    from mapstyle.making import Making, WeightUsed

LONGEST_LINE = 2000
"""Letters of one value that are shown to a person; a program gets all of them."""


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A picture: .png, .jpg, .webp or .tif.")],
    as_json: o.Json = False,
) -> None:
    """Tell how a picture was made: data, style, engine, prompt, weights, settings; and whether a model made it."""
    import json

    from mapstyle.errors import SourceError
    from mapstyle.exports.reading import AI_TYPES, read_found, read_record

    found = read_found(file)
    record = read_record(file, found.made) if found.made else None
    if record is None and not found.parameters:
        told = " (it is marked as AI-made)" if found.source_type in AI_TYPES else ""
        raise SourceError(f"{file}: says nothing of how it was made{told}; pictures of mapstyle do")
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "file": str(file),
                    "mapstyle": None if record is None else json.loads(found.made),
                    "parameters": found.parameters,
                    "ai_made": found.source_type in AI_TYPES or bool(record and record.provenance.making),
                    "digital_source_type": found.source_type,
                }
            )
        )
        return
    lines = _foreign(found) if record is None else _ours(record.provenance, record.frame, found)
    last = ""
    for group, text in lines:
        typer.echo(f"{'' if group == last else group:11}{printable(text)}")
        last = group


def printable(text: str) -> str:
    """Give a text as it may go to a terminal: no control or direction characters, and not without end."""
    odd = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    shown = "".join("\ufffd" if c in odd or ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text[:LONGEST_LINE])
    shown = shown.encode("utf-8", "replace").decode("utf-8")
    return shown + (f" ... ({len(text)} letters)" if len(text) > LONGEST_LINE else "")


def _foreign(found: "Found") -> Iterator[tuple[str, str]]:
    yield "made by", "another program: nothing of mapstyle's, but 'parameters' as A1111 writes them"
    if found.source_type:
        yield "marked as", found.source_type
    for line in found.parameters.splitlines()[:50]:
        if line.strip():
            yield "parameters", line


def _ours(provenance: "Provenance", frame: "Frame", found: "Found") -> Iterator[tuple[str, str]]:
    making, more, grid = provenance.making, provenance.more, frame.grid
    yield "picture", provenance.title or "no title"
    yield "picture", f"{frame.width} x {frame.height} px from column {frame.column}, row {frame.row}"
    ratio = f", @{grid.pixel_ratio}x" if grid.pixel_ratio > 1 else ""
    if grid.is_web_mercator:
        bounds = ",".join(f"{v:.5f}" for v in frame.lonlat_bounds())
        yield "picture", f"Web Mercator, level {grid.level:g}{ratio}; W,S,E,N {bounds}"
    else:
        yield "picture", f"{grid.crs}, {grid.resolution:g} m to a pixel{ratio}, as level {grid.level:.2f}"
    yield "data", f"digest {provenance.sources}"
    yield "data", f"credit {provenance.attribution or 'none'}"
    yield "style", f"{provenance.style}, digest {provenance.style_digest}"
    if more.get("changes"):
        yield "style", f"changed by --set {more['changes']}"
    yield "engine", f"{provenance.engine}, seed {provenance.seed}"
    for name in ("labels", "language", "edge_labels"):
        if more.get(name):
            yield "words", f"{name.replace('_', ' ')} {more[name]}"
    yield "software", provenance.software
    if making is None:
        yield "AI-made", "no: the painter drew it from the data"
        return
    marked = found.source_type or "without the mark that it once had"
    yield "AI-made", f"yes: a model painted the ground ({marked})"
    yield from _of_model(making)


def _of_model(making: "Making") -> Iterator[tuple[str, str]]:
    yield "prompt", making.prompt or "none"
    if making.negative:
        yield "not", making.negative
    yield "sampler", f"{making.sampler}, {making.schedule}".rstrip(", ")
    yield "sampler", f"{making.evaluated} of {making.steps} steps run, strength {making.strength:g}"
    yield "sampler", f"guidance {making.cfg:g}, seed {making.seed}"
    for weight in making.weights:
        yield "weights", _weight(weight)
        yield "weights", f"  sha256 {weight.sha256 or 'unknown'}"
    for control in making.controls:
        yield "controls", ", ".join(f"{k} {v}" for k, v in control.items() if v not in (None, ""))
    for key, value in making.lattice.items():
        parts = value.items() if isinstance(value, dict) else ()
        yield "lattice", f"{key} " + (", ".join(f"{k} {v}" for k, v in parts) or str(value))
    for key, text in making.device.items():
        yield "device", f"{key} {text}"
    yield "exact", "yes" if making.exact else "no: memory ran out, and a part was made in another way"
    if making.identity:
        yield "identity", making.identity


def _weight(weight: "WeightUsed") -> str:
    told = f"{weight.role} {weight.name}"
    if weight.weight is not None:
        told += f" {weight.weight:+g}"
    for name, value in (
        ("AutoV2", weight.autov2),
        ("AutoV3", weight.autov3),
        ("CivitAI version", str(weight.civitai or "")),
        ("licence", weight.licence),
    ):
        told += f", {name} {value}" if value else ""
    return told
