"""``mapstyle doctor``: what this machine can do, and what to install for the rest."""

from mapstyle.cli import options as o


def doctor(as_json: o.Json = False) -> None:
    """Tell what works here: formats, fonts per script, styles, cache, GPU; and what to install for the rest."""
    import json

    import typer

    findings = list(examine())
    if as_json:
        for part, good, told, cure in findings:
            typer.echo(json.dumps({"part": part, "ok": good, "found": told, "cure": cure}))
        return
    for part, good, told, cure in findings:
        typer.echo(f"{'ok  ' if good else 'none'} {part:22} {told}" + (f"\n{'':27} -> {cure}" if cure else ""))


def examine() -> "list[tuple[str, bool, str, str]]":
    """Give (part, whether it works, what was found, what to do about it) for everything a map may need."""
    return [*_program(), *_formats(), *_fonts(), *_styles(), *_cache(), *_accelerators()]


def _program() -> "list[tuple[str, bool, str, str]]":
    import platform

    from mapstyle import __version__
    from mapstyle.cli.painting import cores

    return [
        ("mapstyle", True, f"{__version__}, Python {platform.python_version()}, {platform.system()}", ""),
        ("processor", True, f"{cores()} cores; the painter uses them all", ""),
    ]


def _formats() -> "list[tuple[str, bool, str, str]]":
    import importlib.util

    import pyogrio
    import rasterio
    from rasterio.drivers import is_blacklisted

    vector = pyogrio.list_drivers()
    out = [
        (
            "GDAL",
            True,
            f"{pyogrio.__gdal_version_string__} for vectors, {rasterio.__gdal_version__} for rasters",
            "",
        )
    ]
    for driver, told in (
        ("OSM", "OpenStreetMap .osm.pbf, .osm"),
        ("GPKG", "GeoPackage"),
        ("GeoJSON", "GeoJSON"),
        ("ESRI Shapefile", "Shapefile"),
        ("FlatGeobuf", "FlatGeobuf"),
    ):
        out.append((driver, driver in vector, told, "" if driver in vector else "pip install --upgrade pyogrio"))
    parquet = importlib.util.find_spec("pyarrow") is not None
    out.append(("GeoParquet", parquet, ".parquet", "" if parquet else "pip install pyarrow"))
    with rasterio.Env() as env:
        raster = env.drivers()
    for driver, told in (
        ("SRTMHGT", "elevation .hgt"),
        ("GTiff", "GeoTIFF"),
        ("COG", "Cloud Optimized GeoTIFF"),
    ):
        good = driver in raster and not is_blacklisted(driver, "r")
        out.append((driver, good, told, "" if good else "pip install --upgrade rasterio"))
    return out


def _fonts() -> "list[tuple[str, bool, str, str]]":
    from mapstyle.labels import drawable_scripts

    return [
        (f"letters: {script}", font is not None, font or "no font", "" if font else cure)
        for script, font, cure in drawable_scripts()
    ]


def _styles() -> "list[tuple[str, bool, str, str]]":
    from mapstyle.errors import StyleError
    from mapstyle.style import find_styles, load_style

    out = []
    for name, folder in sorted(find_styles().items()):
        try:
            out.append((f"style: {name}", True, load_style(str(folder)).summary, ""))
        except StyleError as error:
            out.append((f"style: {name}", False, "broken", str(error)))
    return out


def _cache() -> "list[tuple[str, bool, str, str]]":
    import os
    import shutil

    from mapstyle.sources.store import cache_folder

    folder = cache_folder()
    standing = folder
    while not standing.exists():
        standing = standing.parent
    good = os.access(standing, os.W_OK)
    free = shutil.disk_usage(standing).free / 1e9
    cure = "" if good else "set MAPSTYLE_CACHE to a folder that can be written"
    return [("cache", good, f"{folder}, {free:.0f} GB free", cure)]


def _accelerators() -> "list[tuple[str, bool, str, str]]":
    import importlib.util
    import shutil
    import subprocess

    out = []
    smi = shutil.which("nvidia-smi")
    told = ""
    if smi:
        asked = subprocess.run(
            [smi, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        told = asked.stdout.strip().replace("\n", "; ") if asked.returncode == 0 else ""
    out.append(("GPU", bool(told), told or "no CUDA device; the painter needs none", ""))
    out.append(_diffusion())
    out += _weights()
    detectors = importlib.util.find_spec("controlnet_aux") is not None
    told = "installed" if detectors else "only controls with a detector need it"
    out.append(("controlnet_aux", detectors, told, "" if detectors else "pip install 'mapstyle[aux]'"))
    ray = importlib.util.find_spec("ray") is not None
    out.append(("Ray", ray, "installed" if ray else "not needed yet: tiles come in a later version", ""))
    return out


def _diffusion() -> "tuple[str, bool, str, str]":
    """Tell what a model would run on."""
    from mapstyle.engines.diffusion.fit import GIB, check_libraries, look
    from mapstyle.errors import EngineError

    try:
        machine = look()
        check_libraries()
    except EngineError as error:
        told, _, cure = str(error).rpartition(": ")
        return "diffusion (sdxl)", False, told, cure
    free = f", {machine.free / GIB:.0f} GB free" if machine.free else ""
    slow = "; slow without a GPU" if machine.device == "cpu" else ""
    return "diffusion (sdxl)", True, f"on {machine.name}{free}{slow}", ""


def _weights() -> "list[tuple[str, bool, str, str]]":
    """Tell which styles have all the weights that they need."""
    from mapstyle.engines.diffusion.profiles import resolve
    from mapstyle.engines.diffusion.registry import MissingWeightsError, Registry, needed
    from mapstyle.errors import MapstyleError
    from mapstyle.style import find_styles, load_style

    registry = Registry()
    out = []
    for name, folder in sorted(find_styles().items()):
        try:
            style = load_style(str(folder))
            if style.diffusion is None:
                continue
            missing = 0
            for _, ref in needed(style.diffusion, resolve(style.diffusion)):
                try:
                    registry.locate(ref, name, style.folder)
                except MissingWeightsError:
                    missing += 1
        except MapstyleError as error:
            out.append((f"weights: {name}", False, "cannot be looked up", str(error)))
            continue
        told = f"{missing} missing; only sdxl needs them" if missing else "all here"
        out.append((f"weights: {name}", not missing, told, f"mapstyle models pull {name}" if missing else ""))
    return out
