"""Write one picture, block by block, beside its final name, and put it in place when it is whole."""

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mapstyle.errors import OutputError, nearest
from mapstyle.exports.cog_end import BLOCK, check_end
from mapstyle.exports.metadata import Provenance, aux_xml, world_file
from mapstyle.exports.parameters import clean
from mapstyle.frame import Frame

_PREFIX = ".mapstyle-"
_JPEG_ROOM = 65_000
"""Bytes of EXIF, or of XMP, that a JPEG surely holds: a segment is at most 65535 with its headers."""


@dataclass(frozen=True)
class Sheet:
    """What a sink is told before the first block: where the picture is and how it was made."""

    frame: Frame
    provenance: Provenance

    @property
    def description(self) -> str:
        """The title, or else what any map in this style would be called."""
        return clean(self.provenance.title) or f"Map in the style {clean(self.provenance.style)}"


class Sink(Protocol):
    """Takes the blocks of one frame, in any order, and makes a file of them."""

    limit: int
    """Longest side the format can hold, pixels."""
    most: int
    """Most pixels that are taken on: what fits into memory, or a disk's patience."""

    def write(self, frame: Frame, rgb: NDArray[np.uint8]) -> None:
        """Take one block: uint8[height, width, 3], RGB."""

    def describe(self, provenance: Provenance) -> None:
        """Take what the file is to say of its making, anew: some of it is known only after the last block."""

    def finish(self, folder: Path, name: str) -> None:
        """Write the file and what lies beside it into a folder that is still hidden."""


class _PillowSink:
    """Holds the whole picture (four bytes a pixel) and writes it at the end."""

    limit = 65_500
    most = 700_000_000
    world_suffix = ".wld"

    def __init__(self, sheet: Sheet, work: Path) -> None:
        self._sheet = sheet
        self._words = self._metadata(sheet)  # now: what cannot be said is noticed before anything is painted
        self._image = Image.new("RGB", (sheet.frame.width, sheet.frame.height))

    def write(self, frame: Frame, rgb: NDArray[np.uint8]) -> None:
        """Paste one block."""
        rows, columns = frame.slices(self._sheet.frame)
        self._image.paste(Image.fromarray(np.ascontiguousarray(rgb)), (columns.start, rows.start))

    def describe(self, provenance: Provenance) -> None:
        """Replace the metadata."""
        self._words = self._metadata(Sheet(self._sheet.frame, provenance))

    def finish(self, folder: Path, name: str) -> None:
        """Write the picture, its world file and its auxiliary file."""
        self._save(folder / name)
        frame = self._sheet.frame
        (folder / name).with_suffix(self.world_suffix).write_text(world_file(frame), encoding="ascii")
        (folder / f"{name}.aux.xml").write_text(aux_xml(frame), encoding="utf-8")

    def _metadata(self, sheet: Sheet) -> dict[str, Any]:
        """Give what Pillow's ``save`` takes along into the file."""
        raise NotImplementedError

    def _save(self, path: Path) -> None:
        raise NotImplementedError


class PngSink(_PillowSink):
    """PNG: lossless. Painted paper hardly compresses further, so the fast setting loses a few percent."""

    limit = 2**31 - 1
    world_suffix = ".pgw"

    def _metadata(self, sheet: Sheet) -> dict[str, Any]:
        provenance = sheet.provenance
        info = PngImagePlugin.PngInfo()
        info.add_text("Software", clean(provenance.software))
        if provenance.title:
            info.add_itxt("Title", clean(provenance.title))
        if provenance.attribution:
            info.add_itxt("Copyright", clean(provenance.attribution))
        info.add_text("mapstyle", provenance.as_json(sheet.frame))
        if provenance.making is not None:
            info.add_text("parameters", provenance.parameters(sheet.frame))
            info.add_itxt("XML:com.adobe.xmp", provenance.xmp())
        return {"pnginfo": info}

    def _save(self, path: Path) -> None:
        self._image.save(path, "PNG", compress_level=2, **self._words)


def _exif_and_xmp(sheet: Sheet) -> dict[str, Any]:
    """Give the blocks of a JPEG or WebP file.

    The EXIF comment belongs to the ``parameters`` of a model's picture: their readers look there and nowhere else,
    and want UTF-16 with the high byte first. The JSON then goes into the XMP packet, which such a picture has
    anyway and which is the place made for anyone's own names: galleries show a description as a caption, and
    programs drop a maker's note that is not theirs. A painter's picture has its JSON in the comment, for all to see.
    """
    provenance = sheet.provenance
    exif = Image.Exif()  # tags: 0x010E description, 0x0131 software, 0x8298 copyright, 0x9286 comment
    exif[0x010E] = sheet.description.encode()
    exif[0x0131] = clean(provenance.software).encode()
    exif[0x8298] = clean(provenance.attribution).encode()
    made = provenance.as_json(sheet.frame)
    if provenance.making is None:
        comment = b"ASCII\0\0\0" + made.encode("ascii")
    else:
        comment = b"UNICODE\0" + provenance.parameters(sheet.frame).encode("utf-16-be")
    exif.get_ifd(0x8769)[0x9286] = comment
    xmp = provenance.xmp(made).encode()
    return {"exif": exif.tobytes(), **({"xmp": xmp} if xmp else {})}


class JpegSink(_PillowSink):
    """JPEG: small, with losses; full colour resolution so that thin coloured lines stay clean."""

    limit = 65_500
    world_suffix = ".jgw"

    def _metadata(self, sheet: Sheet) -> dict[str, Any]:
        words = _exif_and_xmp(sheet)
        longest = max(len(block) for block in words.values())
        if longest > _JPEG_ROOM:
            raise OutputError(
                f"what is to be said of how the picture was made takes {longest} bytes, and a .jpg holds {_JPEG_ROOM}; "
                "write .png or .webp instead, or shorten title and prompt"
            )
        return words

    def _save(self, path: Path) -> None:
        self._image.save(path, "JPEG", quality=92, subsampling=0, optimize=True, **self._words)


class WebpSink(_PillowSink):
    """WebP: smaller than JPEG at the same look."""

    limit = 16_383
    world_suffix = ".wld"

    def _metadata(self, sheet: Sheet) -> dict[str, Any]:
        return _exif_and_xmp(sheet)

    def _save(self, path: Path) -> None:
        self._image.save(path, "WEBP", quality=90, method=4, **self._words)


class GeoTiffSink:
    """Cloud Optimized GeoTIFF: lossless, tiled, with overviews; blocks go to disk as they come."""

    limit = 2**31 - 1
    most = 20_000_000_000

    def __init__(self, sheet: Sheet, work: Path) -> None:
        import rasterio
        from rasterio.transform import Affine

        self._sheet = sheet
        self._raw = work / "raw.tif"
        west, _, _, north = sheet.frame.crs_bounds()
        size = sheet.frame.grid.resolution / sheet.frame.grid.pixel_ratio
        self._dataset: Any = rasterio.open(
            self._raw, "w", driver="GTiff", width=sheet.frame.width, height=sheet.frame.height, count=3,
            dtype="uint8", crs=sheet.frame.grid.crs, transform=Affine(size, 0, west, 0, -size, north),
            tiled=True, blockxsize=512, blockysize=512, interleave="pixel", photometric="RGB", BIGTIFF="IF_SAFER",
        )  # fmt: skip
        self.describe(sheet.provenance)

    def describe(self, provenance: Provenance) -> None:
        """Replace the metadata."""
        sheet = Sheet(self._sheet.frame, provenance)
        self._tags = {
            "TIFFTAG_SOFTWARE": clean(provenance.software),
            "TIFFTAG_COPYRIGHT": clean(provenance.attribution),
            "TIFFTAG_IMAGEDESCRIPTION": sheet.description,
            "MAPSTYLE": provenance.as_json(sheet.frame),
        }
        if provenance.making is not None:
            self._tags["parameters"] = provenance.parameters(sheet.frame)
        self._xmp = provenance.xmp()

    def write(self, frame: Frame, rgb: NDArray[np.uint8]) -> None:
        """Write one block through to disk."""
        from rasterio.windows import Window

        rows, columns = frame.slices(self._sheet.frame)
        self._dataset.write(np.moveaxis(rgb, 2, 0), window=Window(columns.start, rows.start, frame.width, frame.height))

    def finish(self, folder: Path, name: str) -> None:
        """Copy the blocks into a COG."""
        import rasterio
        from rasterio.shutil import copy

        self._dataset.update_tags(**self._tags)  # not before: here a full disk is noticed
        if self._xmp:
            # GDAL takes XMP (tag 700) as one string, rasterio only names with values, which it joins with "=".
            before, _, after = self._xmp.partition("=")
            self._dataset.update_tags(ns="xml:XMP", **{before: after})
        self._dataset.close()
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=256):
            copy(
                self._raw, folder / name, driver="COG", compress="DEFLATE", predictor="YES", level=3,
                blocksize=BLOCK, overview_resampling="AVERAGE", bigtiff="IF_SAFER", num_threads="2",
            )  # fmt: skip
        check_end(folder / name)
        self._raw.unlink()


SINKS: Mapping[str, type[Any]] = {
    ".png": PngSink,
    ".jpg": JpegSink,
    ".jpeg": JpegSink,
    ".webp": WebpSink,
    ".tif": GeoTiffSink,
    ".tiff": GeoTiffSink,
}
"""Suffix of an output -> what writes it."""


def check_output(path: Path, frame: Frame | None, overwrite: bool) -> None:
    """Refuse, before anything is painted, an output that cannot be written.

    Raises:
        OutputError: unknown suffix, existing file, missing or unwritable folder, or too large a frame.
    """
    kind = SINKS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: no known kind of picture. {nearest(path.suffix.lower() or path.name, SINKS)}")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file in it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; pass --overwrite to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: there is no such folder; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path.parent}: this folder cannot be written; choose another with -o")
    if frame is not None and max(frame.width, frame.height) > kind.limit:
        raise OutputError(
            f"{path}: {frame.width} x {frame.height} px is more than {path.suffix} can hold "
            f"({kind.limit} px a side); write .tif instead, or a smaller picture"
        )
    if frame is not None:
        _check_room(path, frame, kind.most)


def _check_room(path: Path, frame: Frame, most: int) -> None:
    pixels = frame.width * frame.height
    if pixels > most:
        other = "write .tif, which streams, or " if path.suffix.lower() not in (".tif", ".tiff") else ""
        raise OutputError(
            f"{path}: {frame.width} x {frame.height} px is too large for one {path.suffix} "
            f"(at most {most / 1e6:.0f} million pixels); {other}ask for a lower --zoom or a smaller extent"
        )


@contextlib.contextmanager
def open_sink(path: Path, sheet: Sheet, overwrite: bool = False) -> Iterator[Sink]:
    """Give a sink for a picture; the file appears under its name only when the block ends well.

    Raises:
        OutputError: see :func:`check_output`; also a full disk. Nothing is left behind then.
    """
    check_output(path, sheet.frame, overwrite)
    with hidden_folder(path.parent) as work, contextlib.ExitStack() as stack:
        if path.suffix.lower() in (".tif", ".tiff"):
            import rasterio

            stack.enter_context(rasterio.Env())  # its errors come as exceptions then, not as lines on stderr
        ready = work / "ready"
        ready.mkdir()
        try:
            sink: Sink = SINKS[path.suffix.lower()](sheet, work)
            yield sink
            sink.finish(ready, path.name)
        except OutputError:
            raise
        except Exception as error:
            if (told := _disk_trouble(error, path)) is not None:
                raise told from None
            raise
        place(ready, path)


@contextlib.contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """Give a hidden folder beside the output, removed at the end whatever happens.

    What a killed process of this machine has left behind is removed first.
    """
    host = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32]
    for left in parent.glob(f"{_PREFIX}{host}-*-*"):
        owner = left.name.split("-")[-2]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    try:
        work = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{host}-{os.getpid()}-", dir=parent))
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written: {error.strerror}; choose another place with -o") from None
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def place(ready: Path, path: Path) -> None:
    """Rename what lies in a hidden folder into the output's own, the picture itself last."""
    try:
        for file in sorted(ready.iterdir(), key=lambda f: f.name == path.name):
            os.replace(file, path.parent / file.name)
    except OSError as error:
        raise OutputError(f"{path}: cannot be put in place: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its name and rename it, so that it is never half there."""
    beside = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def _disk_trouble(error: Exception, path: Path) -> OutputError | None:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = str(error).lower()
    if full or "no space left" in text or "disk full" in text or "file too large" in text:
        return OutputError(f"{path}: the disk is full; free some room or choose another place with -o")
    if isinstance(error, OSError) and error.errno is not None:
        return OutputError(f"{path}: cannot be written: {error.strerror}")
    if type(error).__module__.startswith("rasterio"):
        if shutil.disk_usage(path.parent).free < 64 << 20:
            return OutputError(f"{path}: the disk is full; free some room or choose another place with -o")
        return OutputError(f"{path}: cannot be written: {text.splitlines()[0]}; is the disk full?")
    return None


def encode_tile(rgb: NDArray[np.uint8]) -> bytes:
    """Encode one web tile as PNG: uint8[height, width, 3], RGB, at the setting measured in docs/log.md."""
    done, data = cv2.imencode(".png", rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "memory is the only thing encoding can run out of"
    return data.tobytes()
