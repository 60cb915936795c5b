"""Make one picture of an opened job: said before, shown while, written after."""

import json
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstyle import __version__
from mapstyle.choice import EngineChoice, choose_engine
from mapstyle.cli.opening import Opened
from mapstyle.cli.talk import Talk
from mapstyle.compose import overlay
from mapstyle.engines.base import EngineSpec, Watch
from mapstyle.errors import OutputError
from mapstyle.exports.metadata import Provenance
from mapstyle.exports.picture import Sheet, check_output, open_sink, write_text
from mapstyle.fingerprint import fingerprint
from mapstyle.frame import Frame
from mapstyle.image import MapImage
from mapstyle.labels import Patch, furniture, labels_geojson
from mapstyle.pipeline import BLOCK, EdgeLabels, Pipeline, Words
from mapstyle.sources.store import cache_folder
from mapstyle.style import Style

FIRST_GUESS = 1.5
"""Seconds a megapixel takes a core, before this machine has painted anything in a style."""
FIRST_GUESS_EVALUATION = 0.1
"""Seconds a window takes a GPU for one step, before this machine has run a model."""


@dataclass(frozen=True)
class Request:
    """How one picture is to be made; attributes are the command line's options."""

    look: Style
    seed: int | None = None
    engine: str = "auto"
    device: str = "auto"
    words: str = "burn"
    language: str = ""
    edge_labels: str = "cut"
    title: str | None = None
    attribution: str | None = None
    overwrite: bool = False
    workers: int | None = None
    changes: Sequence[str] = field(default_factory=tuple)

    def credit(self, opened: Opened) -> str:
        """Give the credit line: as asked, else the data's own; empty for ``none``."""
        if self.attribution is None:
            return opened.data.atlas.attribution
        return "" if self.attribution.strip().lower() == "none" else self.attribution

    @cached_property
    def chosen(self) -> tuple[EngineSpec, str]:
        """Settle who paints, and why; once."""
        return choose_engine(self.look, EngineChoice(self.engine), self.device, cache_folder())

    @property
    def cores(self) -> int:
        """Give the number of blocks painted at a time."""
        return self.workers or cores()


def cores() -> int:
    """Give the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(opened: Opened, request: Request, output: Path, talk: Talk) -> None:
    """Say what is about to be done: extent, level, pixels, engine, style, expected time."""
    frame = opened.frame
    spec, who = request.chosen
    west, south, east, north = frame.lonlat_bounds()
    grid = frame.grid
    level = f"level {grid.level:g}" + ("" if grid.is_web_mercator else f", {grid.crs} at {grid.resolution:g} m")
    work = spec.work(frame)
    if work is None:
        seconds = frame.width * frame.height / 1e6 * _rate(request.look.name, FIRST_GUESS) / request.cores
        cost = ""
    else:
        seconds = work * _rate(_rate_key(request), FIRST_GUESS_EVALUATION)
        cost = f", {work} evaluations ({spec.overhead(frame):.1f} times those of lone windows)"
    talk.say(
        f"{output}: {frame.width} x {frame.height} px, {level}, "
        f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}, style {request.look.name}, engine {who}{cost}, "
        f"about {seconds:.0f} s",
        width=frame.width, height=frame.height, level=grid.level, crs=grid.crs,
        bounds=[west, south, east, north], style=request.look.name, engine=spec.name, evaluations=work,
        expected_seconds=round(seconds, 1),
    )  # fmt: skip


def paint(opened: Opened, request: Request, output: Path, talk: Talk) -> None:
    """Paint the picture and write it, with what belongs beside it."""
    frame = opened.frame
    spec, _ = request.chosen
    words = Words(request.words)
    beside = _beside(output, words, frame, request.overwrite)
    patches = furniture(frame, request.title or "", request.credit(opened))
    for text in (request.title or "", request.credit(opened)):
        if text.strip() and not furniture(frame, "", text):
            talk.say(f"note: the picture is too small for '{text}'; say it beside the picture")
    work = spec.work(frame)
    step = BLOCK * frame.grid.pixel_ratio
    count = sum(1 for _ in frame.pieces(step, step)) if work is None else work
    begun = time.monotonic()
    labels_apart: NDArray[np.uint8] | None = None
    if words is Words.SHEET:
        labels_apart = np.zeros((*frame.shape, 4), np.uint8)
    with talk.progress(f"painting {output.name}", count, "blocks" if work is None else "evaluations") as advance:
        pipeline = Pipeline(
            opened.layers, request.look, spec, request.seed, request.language, words,
            EdgeLabels(request.edge_labels), frame, Watch(talk.say, advance.step), cache_folder(),
        )  # fmt: skip
        sheet = Sheet(frame, _provenance(opened, request, pipeline))
        with open_sink(output, sheet, request.overwrite) as sink:
            for painted in pipeline.blocks(frame, request.cores):
                image = _furnish(painted.image, frame, patches)
                sink.write(image.frame, image.rgba[..., :3])
                if labels_apart is not None and painted.sheet is not None:
                    labels_apart[painted.sheet.frame.slices(frame)] = painted.sheet.rgba
                if work is None:
                    advance.step()
            # Only now is it known whether memory ran out on the way.
            sink.describe(_provenance(opened, request, pipeline))
    if labels_apart is not None and beside is not None:
        _write_sheet(beside, labels_apart)
    if words is Words.VECTOR and beside is not None:
        write_text(beside, json.dumps(labels_geojson(pipeline.labels(frame), frame.grid), ensure_ascii=False))
    for script in pipeline.missing_scripts:
        talk.say(f"note: {script}")
    spent = time.monotonic() - begun
    made = pipeline.evaluations
    if made > 20:  # what was found finished says nothing of how long it takes
        _remember_rate(_rate_key(request), spent / made)
    elif work is None and frame.width * frame.height > 500_000:  # in smaller ones, starting up is most of the time
        _remember_rate(request.look.name, spent * request.cores / (frame.width * frame.height / 1e6))
    talk.result(str(output), seconds=round(spent, 2))
    if beside is not None:
        talk.result(str(beside))


def _beside(output: Path, words: Words, frame: Frame, overwrite: bool) -> Path | None:
    if words is Words.SHEET:
        beside = output.with_name(f"{output.stem}.labels.png")
        check_output(beside, frame, overwrite)
    elif words is Words.VECTOR:
        beside = output.with_name(f"{output.stem}.labels.geojson")
        if beside.exists() and not overwrite:
            raise OutputError(f"{beside}: exists already; pass --overwrite to replace it")
    else:
        return None
    return beside


def _write_sheet(path: Path, rgba: NDArray[np.uint8]) -> None:
    from PIL import Image

    hidden = path.with_name(f".mapstyle-{path.name}")
    try:
        Image.fromarray(rgba).save(hidden, "PNG", compress_level=2)
        os.replace(hidden, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        hidden.unlink(missing_ok=True)


def _furnish(image: MapImage, sheet: Frame, patches: Sequence[Patch]) -> MapImage:
    """Lay the furniture over one block: it belongs to the sheet, not to the ground."""
    if not patches:
        return image
    rgba = image.rgba.copy()
    for patch in patches:
        place = Frame(
            sheet.grid,
            sheet.column + patch.left,
            sheet.row + patch.top,
            patch.rgba.shape[1],
            patch.rgba.shape[0],
        )
        shared = place.intersection(image.frame)
        if shared is not None:
            overlay(rgba[shared.slices(image.frame)], patch.rgba[shared.slices(place)])
    return MapImage(image.frame, rgba)


def _provenance(opened: Opened, request: Request, pipeline: Pipeline) -> Provenance:
    return Provenance(
        title=request.title or "",
        attribution=request.credit(opened),
        software=f"mapstyle {__version__}",
        style=request.look.name,
        style_digest=request.look.digest,
        engine=pipeline.spec.name,
        seed=pipeline.seed,
        sources=opened.digest,
        more={
            "labels": request.words,
            "language": request.language,
            "edge_labels": request.edge_labels,
            "changes": shlex.join(request.changes),
        },
        making=pipeline.making,
    )


def _rates_file() -> Path:
    return cache_folder() / f"rates-{fingerprint(__version__)[:8]}.json"


def _rate_key(request: Request) -> str:
    """Name what an evaluation's time depends on."""
    return f"{request.look.name}, {request.chosen[1]}"


def _rate(key: str, guess: float) -> float:
    """Give the seconds that a megapixel took a core, or an evaluation took, the last time here."""
    try:
        return float(json.loads(_rates_file().read_text())[key])
    except (OSError, ValueError, KeyError, TypeError):
        return guess


def _remember_rate(key: str, seconds: float) -> None:
    file = _rates_file()
    try:
        known = json.loads(file.read_text()) if file.exists() else {}
        known[key] = round(seconds, 4)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(known))
    except (OSError, ValueError, OutputError):
        return  # an estimate is not worth failing for
