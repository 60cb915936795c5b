"""``mapstyle styles sheet``: styles, or settings of one, side by side over one place."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.cli.mount import Page
    from mapstyle.cli.opening import Opened
    from mapstyle.cli.painting import Request
    from mapstyle.cli.talk import Talk
    from mapstyle.exports.metadata import Provenance
    from mapstyle.frame import Frame
    from mapstyle.image import MapImage
    from mapstyle.making import Making

PANEL = "480x360"
"""Pixels of a picture on the sheet when nobody says how large."""
LEVEL = 15
"""Where neither place nor level is said: towns show all that a style can do."""
MOST = 120
"""Pictures on one sheet; more of them are a heap."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet: how it is made, and what stands by it."""

    request: "Request"
    values: tuple[str, ...]

    @property
    def words(self) -> str:
        """What sets it apart from its neighbours."""
        return ",  ".join(self.values)


@dataclass(frozen=True)
class Axis:
    """A setting that is varied, or the styles; each value has a name and the changes that make it."""

    key: str
    names: tuple[str, ...]
    changes: tuple[str, ...]


def sheet(
    sources: o.Sources = None,
    output: o.Output = ...,  # type: ignore[assignment]
    styles: Annotated[
        str | None,
        typer.Option("--styles", metavar="A,B,C", help="Names or paths of styles [all; with --vary, watercolour]."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=V1,V2,V3",
            help="Try values of a setting, read as --set reads them; twice makes rows and columns.",
        ),
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", metavar="N", min=1, max=40, help="Pictures in a row.")
    ] = None,
    extent: o.Extent = None,
    place: o.Place = None,
    around: o.Around = None,
    radius: o.Radius = None,
    tile: o.Tile = None,
    zoom: o.Zoom = None,
    resolution: o.Resolution = None,
    scale: o.Scale = None,
    dpi: o.Dpi = 300.0,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help=f"Pixels of each picture [{PANEL}].")
    ] = None,
    crs: o.Crs = None,
    pixel_ratio: o.PixelRatio = 1,
    changes: o.Changes = None,
    seed: o.Seed = None,
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = "auto",
    no_labels: o.NoLabels = False,
    language: o.Language = "",
    title: o.Title = None,
    attribution: o.Attribution = None,
    overwrite: o.Overwrite = False,
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Make a contact sheet: every style over one place, or a grid over settings of one."""
    from mapstyle.cli.mount import Page
    from mapstyle.cli.opening import Opened, layers_for, open_data
    from mapstyle.cli.painting import Request
    from mapstyle.cli.spot import liveliest
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import OutputError, StyleError
    from mapstyle.exports.picture import check_output
    from mapstyle.job import HowLarge, Where, check_crs, plan_frame
    from mapstyle.style import load_style

    talk = Talk(quiet, as_json)
    if output.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{output}: a sheet is a picture to look at: .png, .jpg or .webp")
    check_output(output, None, overwrite)

    def ask(name: str, more: Sequence[str]) -> Request:
        all_changes = (*(changes or ()), *more)
        try:
            look = load_style(name, all_changes)
        except StyleError as error:
            raise StyleError(f"with {', '.join(more)}: {error}" if more else str(error)) from None
        return Request(
            look=look,
            seed=seed,
            engine=engine.value,
            device=device,
            words="none" if no_labels else "burn",
            language=language,
            edge_labels="drop",
            attribution=attribution,
            overwrite=overwrite,
            workers=workers,
            changes=all_changes,
        )

    names = _names(styles, bool(vary), talk)
    axes = [_axis(text, seed) for text in vary or ()]
    if (count := math.prod(len(a.names) for a in axes) * len(names)) > MOST:
        raise _too_many(count)
    if len({axis.key for axis in axes}) < len(axes):
        raise _twice(axes)
    if len(names) > 1:
        axes.insert(0, Axis("style", tuple(names), ()))
    panels = []
    for chosen in product(*(range(len(axis.names)) for axis in axes)):
        name, more, values = names[0], [], []
        for axis, i in zip(axes, chosen, strict=True):
            if axis.key == "style":
                name = names[i]
            else:
                more.append(axis.changes[i])
                values.append(axis.names[i])
        panels.append(Panel(ask(name, more), tuple(values)))
    _check_difference(panels, vary or ())

    pixel = zoom if zoom is not None else resolution if resolution is not None else scale
    nowhere = extent is None and place is None and around is None and tile is None
    level = LEVEL if nowhere and pixel is None and crs is None else zoom
    check_crs(crs)
    data = open_data(sources or (), talk)
    how = HowLarge(level, resolution, scale, dpi, size or (None if tile else PANEL), crs, pixel_ratio)
    where = Where(extent, place, around, radius, tile)
    frame = plan_frame(where, how, data)
    if nowhere and level == LEVEL and radius is None:
        frame = plan_frame(Where(around=liveliest(data, frame), radius=0.01), how, data)
    opened = Opened(data, frame, layers_for(data, frame), data.digest)
    page = Page.arrange(opened.frame, panels, axes, columns, title, panels[0].request.credit(opened))
    whole = _frame_of(opened.frame, page)
    check_output(output, whole, overwrite)
    _describe(output, page, panels, opened, talk)
    if dry_run:
        return
    made = _paint(panels, page, opened, talk, output)
    for note in page.notes:
        talk.say(f"note: {note}")
    _write(output, page, whole, _provenance(panels, opened, whole, title, made), overwrite)
    talk.result(str(output), pictures=len(panels))


def _too_many(count: int) -> Exception:
    from mapstyle.errors import JobError

    return JobError(f"a sheet of {count} pictures; at most {MOST} can be looked at: name fewer styles or values")


def _twice(axes: Sequence[Axis]) -> Exception:
    from mapstyle.errors import JobError

    keys = [axis.key for axis in axes]
    key = next(k for k in keys if keys.count(k) > 1)
    return JobError(f"--vary {key} is given twice; put all its values into one: --vary {key}=V1,V2,V3")


def _names(styles: str | None, varied: bool, talk: "Talk") -> list[str]:
    """Give the styles that were asked for; of all, the whole ones, and say which are left out."""
    from mapstyle.errors import JobError, StyleError
    from mapstyle.style import find_styles, load_style

    if styles is not None:
        named = list(dict.fromkeys(part.strip() for part in styles.split(",") if part.strip()))
        if not named:
            raise JobError("--styles: name at least one, as in --styles watercolour,pen-and-ink")
        return named
    if varied:
        return ["watercolour"]
    whole = []
    for name, folder in sorted(find_styles().items()):
        try:
            load_style(str(folder))
            whole.append(name)
        except StyleError as error:
            talk.say(f"note: {name} is left out: {error}")
    if not whole:
        raise StyleError("no style here can be read; 'mapstyle styles list' says what is wrong with each")
    return whole


def _axis(text: str, seed: int | None) -> Axis:
    from mapstyle.errors import JobError

    key, equals, rest = text.partition("=")
    key, values = key.strip(), list(split_values(rest))
    if not equals or not key or not all(values):
        raise JobError(f"--vary {text}: write it as KEY=V1,V2,V3, as in painter.settings.granulation=0.1,0.3")
    if len(set(values)) < len(values):
        raise JobError(f"--vary {text}: the same value stands there twice")
    if key == "seed" and seed is not None:
        raise JobError("--seed and --vary seed exclude each other; pass one of them")
    short = key.rpartition(".")[2].replace("_", " ")
    return Axis(key, tuple(f"{short} {v.strip(chr(34))}" for v in values), tuple(f"{key}={v}" for v in values))


def split_values(text: str) -> Iterator[str]:
    """Cut values at the commas between them, not at those within brackets or quotes."""
    depth, quote, start = 0, "", 0
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[i - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    yield text[start:].strip()


def _check_difference(panels: Sequence[Panel], vary: Sequence[str]) -> None:
    """Refuse, before anything is painted, to vary what the engine that paints does not look at."""
    from mapstyle.errors import JobError

    idle = [v.partition("=")[0].strip() for v in vary if v.strip().startswith("diffusion.")]
    for panel in panels:
        spec, who = panel.request.chosen
        if idle and spec.name == "painter":
            raise JobError(
                f"--vary {idle[0]}: {panel.request.look.name} is painted by the {who}, which does not look at it; "
                "pass --engine sdxl, or vary what stands under painter"
            )


def _frame_of(frame: "Frame", page: "Page") -> "Frame":
    """Give a frame as large as the sheet, on a grid that is no web map's."""
    from mapstyle.frame import Frame

    west, _, _, north = frame.crs_bounds()
    grid = replace(frame.grid, origin_x=west, origin_y=north, turn=0)
    return Frame(grid, 0, 0, page.width, page.height)


def _describe(output: Path, page: "Page", panels: Sequence[Panel], opened: "Opened", talk: "Talk") -> None:
    from mapstyle.cli.painting import FIRST_GUESS

    frame = opened.frame
    bounds = frame.lonlat_bounds()
    who = dict.fromkeys(panel.request.chosen[1] for panel in panels)
    seconds = len(panels) * frame.width * frame.height / 1e6 * FIRST_GUESS / panels[0].request.cores
    model = any(panel.request.chosen[0].work(frame) is not None for panel in panels)
    about = "" if model else f", about {math.ceil(seconds)} s"
    talk.say(
        f"{output}: {page.width} x {page.height} px, {len(panels)} picture{'s' * (len(panels) > 1)} of {frame.width} x "
        f"{frame.height} px in {page.columns} column{'s' * (page.columns > 1)}, level {frame.grid.level:g}, "
        f"{','.join(f'{v:.5f}' for v in bounds)}, engine {'; '.join(who)}{about}",
        width=page.width, height=page.height, pictures=len(panels), columns=page.columns, level=frame.grid.level,
        bounds=list(bounds),
    )  # fmt: skip


def _paint(panels: Sequence[Panel], page: "Page", opened: "Opened", talk: "Talk", output: Path) -> "Making | None":
    """Paint every picture onto the page; give how a model made one of them, if one did."""
    from mapstyle.engines.base import Watch
    from mapstyle.pipeline import EdgeLabels, Pipeline, Words
    from mapstyle.sources.store import cache_folder

    frame, made = opened.frame, None
    work = [panel.request.chosen[0].work(frame) for panel in panels]
    total = sum(w or 1 for w in work)
    unit = "pictures" if not any(work) else "steps"
    missing: dict[str, None] = {}
    stop = Event()

    def one(i: int, workers: int, watch: Watch) -> Iterator["MapImage"]:
        request = panels[i].request
        pipeline = Pipeline(
            opened.layers, request.look, request.chosen[0], request.seed, request.language, Words(request.words),
            EdgeLabels(request.edge_labels), frame, watch, cache_folder(),
        )  # fmt: skip
        for painted in pipeline.blocks(frame, workers):
            yield painted.image
        missing.update(dict.fromkeys(pipeline.missing_scripts))
        nonlocal made
        made = made or pipeline.making

    def paint(i: int) -> None:
        for image in one(i, 1, Watch()):
            page.lay(i, image)
            if stop.is_set():
                return

    with talk.progress(f"painting {output.name}", total, unit) as advance:
        for i, steps in enumerate(work):
            if steps is not None:  # one model after another: two would not fit
                for image in one(i, panels[i].request.cores, Watch(talk.say, advance.step)):
                    page.lay(i, image)
        with ThreadPoolExecutor(panels[0].request.cores) as pool:
            waiting = {pool.submit(paint, i) for i, steps in enumerate(work) if steps is None}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                        advance.step()
            finally:
                stop.set()  # nobody waits for the rest: Ctrl-C, or a picture that failed
                for future in waiting:
                    future.cancel()
    for script in missing:
        talk.say(f"note: {script}")
    return made


def _provenance(
    panels: Sequence[Panel], opened: "Opened", whole: "Frame", title: str | None, made: "Making | None"
) -> "Provenance":
    from mapstyle import __version__
    from mapstyle.exports.metadata import Provenance
    from mapstyle.fingerprint import fingerprint

    frame, first = opened.frame, panels[0].request
    told = [{"style": p.request.look.name, "changes": list(p.request.changes)} for p in panels]
    more: Mapping[str, str] = {
        "sheet": f"a contact sheet of {len(panels)} pictures, {frame.width} x {frame.height} px each",
        "pictures": json.dumps(told),
        "bounds": ",".join(f"{v:.6f}" for v in frame.lonlat_bounds()),
        "labels": first.words,
        "language": first.language,
    }
    return Provenance(
        title=title or "",
        attribution=first.credit(opened),
        software=f"mapstyle {__version__}",
        style=", ".join(dict.fromkeys(p.request.look.name for p in panels)),
        style_digest=fingerprint([p.request.look.digest for p in panels]),
        engine="contact sheet",
        seed=first.look.seed if first.seed is None else first.seed,
        sources=opened.digest,
        more=more,
        making=made,
    )


def _write(output: Path, page: "Page", whole: "Frame", provenance: "Provenance", overwrite: bool) -> None:
    """Write the page through the sink of its kind, without the files that say where on Earth a map is."""
    from mapstyle.errors import OutputError
    from mapstyle.exports.picture import SINKS, Sheet, check_output, hidden_folder, place

    check_output(output, whole, overwrite)
    with hidden_folder(output.parent) as work:
        ready = work / "ready"
        ready.mkdir()
        sink = SINKS[output.suffix.lower()](Sheet(whole, provenance), work)
        sink.write(whole, page.rgb)
        try:
            sink.finish(ready, output.name)
        except OSError as error:
            raise OutputError(f"{output}: cannot be written: {error.strerror or error}") from None
        for beside in ready.iterdir():
            if beside.name != output.name:
                beside.unlink()
        place(ready, output)
