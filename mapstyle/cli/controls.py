"""``mapstyle controls``: the control images that an engine would see."""

from mapstyle.cli import options as o


def controls(
    sources: o.Sources = None,
    output: o.Output = ...,  # type: ignore[assignment]
    extent: o.Extent = None,
    place: o.Place = None,
    around: o.Around = None,
    radius: o.Radius = None,
    tile: o.Tile = None,
    zoom: o.Zoom = None,
    resolution: o.Resolution = None,
    scale: o.Scale = None,
    dpi: o.Dpi = 300.0,
    size: o.Size = None,
    crs: o.Crs = None,
    pixel_ratio: o.PixelRatio = 1,
    style: o.StyleName = "watercolour",
    changes: o.Changes = None,
    seed: o.Seed = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Write the control images (segmentation, edges, depth, relief, base; imagery if there is any) into a folder."""
    from mapstyle import __version__
    from mapstyle.choice import EngineChoice, choose_engine
    from mapstyle.cli.opening import open_job
    from mapstyle.cli.talk import Talk
    from mapstyle.controls import CONTROLS
    from mapstyle.errors import OutputError
    from mapstyle.exports.metadata import Provenance
    from mapstyle.exports.picture import Sheet, check_output, open_sink
    from mapstyle.job import HowLarge, Where
    from mapstyle.pipeline import Pipeline, Words
    from mapstyle.style import load_style

    talk = Talk(quiet, as_json)
    look = load_style(style, changes or ())
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: is a file; name a folder")
    opened = open_job(
        sources or (),
        Where(extent, place, around, radius, tile),
        HowLarge(zoom, resolution, scale, dpi, size, crs, pixel_ratio),
        talk,
    )
    frame = opened.frame
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made: {error.strerror}; choose another place with -o") from None
    names = [*CONTROLS, "base", *(["imagery"] if opened.data.imagery else [])]
    files = {name: output / f"{name}.png" for name in names}
    for file in files.values():
        check_output(file, frame, overwrite)
    spec, _ = choose_engine(look, EngineChoice.PAINTER)
    pipeline = Pipeline(opened.layers, look, spec, seed, words=Words.NONE)
    step = 1024 * pixel_ratio
    pieces = list(frame.pieces(step, step))
    with talk.progress("drawing controls", len(pieces) * len(files), "blocks") as advance:
        for name, file in files.items():
            sheet = Sheet(
                frame,
                Provenance(
                    f"Control image: {name}", opened.data.atlas.attribution, f"mapstyle {__version__}", look.name,
                    look.digest, name, pipeline.seed, opened.digest,
                ),
            )  # fmt: skip
            with open_sink(file, sheet, overwrite) as sink:
                for piece in pieces:
                    rgb = pipeline.base(piece) if name == "base" else pipeline.control(name, piece)
                    sink.write(piece, rgb)
                    advance.step()
            talk.result(str(file))
