"""``mapstyle render``: one picture."""

from mapstyle.cli import options as o


def render(
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
    engine: o.Engine = o.EngineName.AUTO,
    device: o.Device = "auto",
    labels: o.Words = o.LabelWay.BURN,
    no_labels: o.NoLabels = False,
    language: o.Language = "",
    edge_labels: o.EdgeLabels = o.EdgeWay.CUT,
    title: o.Title = None,
    attribution: o.Attribution = None,
    overwrite: o.Overwrite = False,
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    dry_run: o.DryRun = False,
) -> None:
    """Render one picture: .png, .jpg, .webp or .tif (a Cloud Optimized GeoTIFF)."""
    from mapstyle.cli.opening import open_job
    from mapstyle.cli.painting import Request, describe, paint
    from mapstyle.cli.talk import Talk
    from mapstyle.exports.picture import check_output
    from mapstyle.job import HowLarge, Where
    from mapstyle.style import load_style

    talk = Talk(quiet, as_json)
    check_output(output, None, overwrite)
    look = load_style(style, changes or ())
    opened = open_job(
        sources or (),
        Where(extent, place, around, radius, tile),
        HowLarge(zoom, resolution, scale, dpi, size, crs, pixel_ratio),
        talk,
    )
    check_output(output, opened.frame, overwrite)
    request = Request(
        look=look,
        seed=seed,
        engine=engine.value,
        device=device,
        words="none" if no_labels else labels.value,
        language=language,
        edge_labels=edge_labels.value,
        title=title,
        attribution=attribution,
        overwrite=overwrite,
        workers=workers,
        changes=tuple(changes or ()),
    )
    describe(opened, request, output, talk)
    if not dry_run:
        paint(opened, request, output, talk)
