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
    torch = importlib.util.find_spec("torch") is not None
    told = "torch is installed" if torch else "torch is not installed"
    out.append(("diffusion (sdxl)", False, f"{told}; the engine itself comes in a later version", "use the painter"))
    ray = importlib.util.find_spec("ray") is not None
    out.append(("Ray", ray, "installed" if ray else "not needed yet: tiles come in a later version", ""))
    return out
