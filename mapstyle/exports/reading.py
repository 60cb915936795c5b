"""Read back what a picture's file says about itself, whoever wrote it; no pixel is ever decoded."""

import io
import json
import os
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from xml.sax.saxutils import unescape

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mapstyle.errors import SourceError, explain
from mapstyle.exports.metadata import SOURCE_TYPES, XMP_NAMESPACES, Provenance
from mapstyle.frame import Frame, Grid
from mapstyle.making import Making

LONGEST = 1 << 20
"""Most bytes of one text, packed or unpacked: ours take a few thousand."""
MOST_PARTS = 1_000_000
"""Most chunks or segments that are looked at in one file: a large PNG has tens of thousands."""
AI_TYPES = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
"""IPTC's digital source types that speak of generative AI."""


@dataclass(frozen=True)
class Found:
    """What a file says about itself.

    Attributes:
        made: our own JSON, or empty.
        parameters: A1111's text, ours or another program's, or empty.
        source_type: IPTC's digital source type without its address, or empty.
    """

    made: str = ""
    parameters: str = ""
    source_type: str = ""


@dataclass(frozen=True)
class Record:
    """What our own JSON says: how a picture was made, and of what frame."""

    provenance: Provenance
    frame: Frame


def read_found(path: Path) -> Found:
    """Read what a picture says about itself.

    Raises:
        SourceError: it cannot be read, is no picture, or is broken before anything was said.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
            for magic, read in _READERS.items():
                if head.startswith(magic) and (magic != b"RIFF" or head[8:12] == b"WEBP"):
                    file.seek(0)
                    return _sort(read(file))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (struct.error, ValueError, EOFError, OverflowError, zlib.error) as error:
        raise SourceError(f"{path}: broken: {error}") from None
    raise SourceError(f"{path}: not a picture that can be explained; known are PNG, JPEG, WebP and GeoTIFF")


def read_record(path: Path, made: str) -> Record:
    """Read our own JSON; ``path`` is for the message.

    Raises:
        SourceError: it is not what we write.
    """
    try:
        told = json.loads(made)
    except (ValueError, RecursionError):
        raise SourceError(f"{path}: its metadata is broken: not JSON") from None
    if not isinstance(told, dict):
        raise SourceError(f"{path}: its metadata is broken: no table of names and values")
    try:
        place = _Place.model_validate({k: v for k, v in told.items() if k in _Place.model_fields})
        names = {f.name for f in fields(Provenance)} - {"more", "making"}
        known = {k: v for k, v in told.items() if k in names}
        more = {k: v for k, v in told.items() if k not in {*names, *_Place.model_fields} and isinstance(v, str)}
        making = _MAKING.validate_python(told["making"]) if told.get("making") is not None else None
        provenance = _PROVENANCE.validate_python({**known, "more": more, "making": making})
    except ValidationError as error:
        raise SourceError(f"{path}: its metadata is broken: {explain(error, _Place)[:300]}") from None
    except RecursionError:
        raise SourceError(f"{path}: its metadata is broken: nested too deeply") from None
    if not 0 <= provenance.seed < 2**63:
        raise SourceError(f"{path}: its metadata is broken: no map has such a seed")
    grid = Grid(place.crs, place.resolution, *place.origin, place.level, place.pixel_ratio, place.turn)
    frame = Frame(grid, *place.frame)
    if grid.is_web_mercator and not _in_the_world(frame):
        raise SourceError(f"{path}: its metadata is broken: its frame is nowhere on the web's grid")
    return Record(provenance, frame)


def _in_the_world(frame: Frame) -> bool:
    level, turn = round(frame.grid.level), frame.grid.turn * frame.grid.pixel_ratio
    known = 0 <= level <= 22 and frame.grid == Grid.web_mercator(level, frame.grid.pixel_ratio)
    return known and -turn <= min(frame.column, frame.row) and max(frame.end_column, frame.end_row) <= 3 * turn


_Pixels = Annotated[int, Field(ge=-(2**40), le=2**40)]
_Side = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_MAKING = TypeAdapter(Making)
_PROVENANCE = TypeAdapter(Provenance)


class _Place(BaseModel):
    """The part of the JSON that tells a frame."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crs: str = Field(min_length=1, max_length=20_000)
    resolution: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    origin: tuple[_Number, _Number]
    turn: int = Field(ge=0, le=2**40)
    level: float = Field(ge=-5, le=40, allow_inf_nan=False)
    pixel_ratio: int = Field(ge=1, le=4)
    frame: tuple[_Pixels, _Pixels, _Side, _Side]


def _sort(texts: Mapping[str, str]) -> Found:
    """Tell whose each text is."""
    comment = texts.get("comment", "")
    xmp = _xmp(texts.get("xmp", ""))
    ours = comment if comment.lstrip().startswith("{") and '"style_digest"' in comment else ""
    theirs = comment if "Steps: " in comment and not ours else ""
    return Found(
        made=texts.get("mapstyle") or xmp.get("mapstyle:made") or ours,
        parameters=texts.get("parameters") or theirs,
        source_type=xmp.get("Iptc4xmpExt:DigitalSourceType", "").removeprefix(SOURCE_TYPES),
    )


def _xmp(packet: str) -> dict[str, str]:
    """Give what an XMP packet says under the names that we know, whichever way it writes them down."""
    root = _xml(packet)
    names = {f"{{{uri}}}": prefix for prefix, uri in XMP_NAMESPACES.items()}
    told: dict[str, str] = {}
    for description in root.iter(f"{{{XMP_NAMESPACES['rdf']}}}Description"):
        for tag, text in [*description.attrib.items(), *((child.tag, child.text or "") for child in description)]:
            uri, _, name = tag.rpartition("}")
            if prefix := names.get(f"{uri}}}"):
                told.setdefault(f"{prefix}:{name}", text)
    return told


def _xml(text: str) -> ET.Element:
    """Read XML; nothing of what is broken or declares anything: neither XMP nor GDAL does, and entities can swell."""
    if "<!" not in text:
        try:
            return ET.fromstring(text.strip("\ufeff\0 \n"))
        except (ET.ParseError, ValueError, RecursionError):
            pass
    return ET.Element("nothing")


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\0")


def _png(file: BinaryIO) -> dict[str, str]:
    """Read the text chunks (PNG, third edition, 11.3.3) and skip all others."""
    texts: dict[str, str] = {}
    for kind, length in _parts(file, 8, lambda: struct.unpack(">I4s", _exactly(file, 8))[::-1]):
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf") and length <= LONGEST:
            data = _exactly(file, length)
            if zlib.crc32(kind + data) != struct.unpack(">I", _exactly(file, 4))[0]:
                raise ValueError(f"the check sum of a chunk {kind.decode()} is wrong")
            if kind == b"eXIf":
                texts.setdefault("comment", _exif(data))
            elif (name := _KEYWORDS.get(data.partition(b"\0")[0], "")) and name not in texts:
                texts[name] = _chunk(kind, data.partition(b"\0")[2])
        elif kind == b"IEND":
            break
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return texts


_KEYWORDS = {b"mapstyle": "mapstyle", b"parameters": "parameters", b"XML:com.adobe.xmp": "xmp"}


def _chunk(kind: bytes, data: bytes) -> str:
    """Give the text of a chunk, after its keyword."""
    if kind == b"tEXt":
        return data.decode("latin-1")
    if kind == b"zTXt":
        return _unpack(data[1:]).decode("latin-1")
    body = data[2:].split(b"\0", 2)[-1]  # after the language and the keyword in it
    return (_unpack(body) if data[:1] == b"\1" else body).decode("utf-8", "replace")


def _unpack(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, LONGEST)


def _jpeg(file: BinaryIO) -> dict[str, str]:
    """Read the EXIF and XMP segments before the picture begins (JPEG, B.1.1.4; XMP part 3, 1.1.3)."""
    texts: dict[str, str] = {}
    for marker, length in _parts(file, 2, lambda: struct.unpack(">2sH", _exactly(file, 4))):
        if marker[:1] != b"\xff" or length < 2:
            raise ValueError("a segment does not begin where it should")
        if marker in (b"\xff\xda", b"\xff\xd9"):
            break
        if marker != b"\xff\xe1":
            file.seek(length - 2, os.SEEK_CUR)
            continue
        data = _exactly(file, length - 2)
        if data.startswith(b"Exif\0\0"):
            texts.setdefault("comment", _exif(data))
        elif data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            texts.setdefault("xmp", _utf8(data[29:]))
    return texts


def _webp(file: BinaryIO) -> dict[str, str]:
    """Read the EXIF and XMP chunks, which come after the picture (RFC 9649, 2.7.1.5)."""
    texts: dict[str, str] = {}
    for kind, length in _parts(file, 12, lambda: struct.unpack("<4sI", _exactly(file, 8))):
        if kind in (b"EXIF", b"XMP ") and length <= LONGEST:
            data = _exactly(file, length)
            file.seek(length % 2, os.SEEK_CUR)
            if kind == b"EXIF":
                texts.setdefault("comment", _exif(data))
            else:
                texts.setdefault("xmp", _utf8(data))
        else:
            file.seek(length + length % 2, os.SEEK_CUR)
    return texts


def _tiff(file: BinaryIO) -> dict[str, str]:
    """Read XMP (tag 700), GDAL's items (tag 42112, XML) and the EXIF comment."""
    tags = _tags(file)
    items = {i.get("name"): i.text or "" for i in _xml(_utf8(tags.get(42112, b""))).iter("Item")}
    quotes = {"&quot;": '"', "&apos;": "'"}
    return {
        "mapstyle": unescape(items.get("MAPSTYLE", ""), quotes),  # GDAL escapes what it writes twice
        "parameters": unescape(items.get("parameters", ""), quotes),
        "xmp": _utf8(tags.get(700, b"")),
        "comment": _comment(tags.get(0x9286, b"")),
    }


_READERS: Mapping[bytes, Callable[[BinaryIO], dict[str, str]]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
}
"""How a file begins -> what reads its texts by name."""


def _exif(data: bytes) -> str:
    """Give the user comment of an EXIF block, or nothing: the file may say more elsewhere."""
    try:
        return _comment(_tags(io.BytesIO(data.removeprefix(b"Exif\0\0"))).get(0x9286, b""))
    except (struct.error, ValueError, EOFError, OverflowError):
        return ""


def _tags(file: BinaryIO) -> dict[int, bytes]:
    """Read the texts of a TIFF's first directory and of the EXIF directory it points to (TIFF 6.0, 2; BigTIFF)."""
    order = {b"II": "<", b"MM": ">"}.get(_exactly(file, 2))
    if order is None:
        raise ValueError("it is no TIFF")
    big = struct.unpack(f"{order}H", _exactly(file, 2))[0] == 43
    file.seek(8 if big else 4)
    count, entry, word = (
        (f"{order}Q", f"{order}HHQQ", f"{order}Q") if big else (f"{order}H", f"{order}HHII", f"{order}I")
    )
    texts: dict[int, bytes] = {}
    starts = [struct.unpack(word, _exactly(file, struct.calcsize(word)))[0]]
    for start in starts:
        file.seek(start)
        entries = struct.unpack(count, _exactly(file, struct.calcsize(count)))[0]
        table = _exactly(file, min(entries, 4096) * struct.calcsize(entry))
        for tag, _, length, value in struct.iter_unpack(entry, table):
            if tag == 0x8769 and len(starts) == 1:
                starts.append(value)
            elif tag in (700, 42112, 0x9286) and tag not in texts and 8 < length <= LONGEST:
                file.seek(value)
                texts[tag] = _exactly(file, length)
    return texts


def _comment(data: bytes) -> str:
    code, text = data[:8], data[8:]
    if code != b"UNICODE\0":
        return text.decode("utf-8", "replace").rstrip("\0 ")
    # The standard leaves the order of the two bytes open. Most letters anywhere have one byte 0: the high one.
    little = text[1::2].count(0) > text[0::2].count(0)
    return text.decode("utf-16-le" if little else "utf-16-be", "replace").removeprefix("\ufeff").rstrip("\0")


def _parts(file: BinaryIO, start: int, head: Callable[[], Any]) -> Iterator[tuple[bytes, int]]:
    """Walk over a file's parts by their heads; whoever iterates leaves the file behind each part."""
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    for _ in range(MOST_PARTS):
        if file.tell() >= size:
            return
        yield head()


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends too early")
    return data
