"""What is written into a picture comes back, in every format; and a hostile file does no harm."""

import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exports.a1111_reader import as_a1111, as_civitai
from exports.makings import MAKING
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from mapstyle.errors import OutputError, SourceError
from mapstyle.exports import Sheet, encode_tile, open_sink
from mapstyle.exports.metadata import Provenance, source_type
from mapstyle.exports.parameters import a1111_parameters
from mapstyle.exports.reading import LONGEST, Found, read_found, read_record
from mapstyle.frame import Frame, Grid

SUFFIXES = [".png", ".jpg", ".webp", ".tif"]
WEB = Frame(Grid.web_mercator(14), 2_133_000, 1_495_000, 61, 43)
FRAMES = [WEB, Frame(Grid.metric("EPSG:32632", 2.5, 50.0, 2), 160_000, -1_000_000, 60, 47)]
PAINTED = Provenance(
    "Häfen & “<Ufer>”", "© Somebody", "mapstyle 0", "ink", "d1", "painter", 7, "s1",
    {"labels": "burn", "language": "", "edge_labels": "cut", "changes": "a=1 'b=\"x y\"'"},
)  # fmt: skip
MADE = replace(PAINTED, engine="sdxl", making=MAKING)


def write(path: Path, provenance: Provenance, frame: Frame = WEB) -> Path:
    with open_sink(path, Sheet(frame, provenance)) as sink:
        sink.write(frame, np.full((*frame.shape, 3), 200, np.uint8))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("frame", FRAMES, ids=["web", "metric"])
@pytest.mark.parametrize("provenance", [PAINTED, MADE], ids=["painter", "model"])
def test_everything_comes_back(tmp_path, suffix, frame, provenance):
    path = write(tmp_path / f"map{suffix}", provenance, frame)
    found = read_found(path)
    record = read_record(path, found.made)
    assert record.frame == frame
    assert record.provenance == provenance
    assert record.provenance.making == provenance.making
    if provenance.making is None:
        assert (found.parameters, found.source_type) == ("", "")
    else:
        assert found.parameters == a1111_parameters(MAKING, frame.width, frame.height, "mapstyle 0")
        assert found.source_type == "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_others_find_it_where_they_look(tmp_path, suffix):
    path = write(tmp_path / f"map{suffix}", MADE)
    with Image.open(path) as image:
        if suffix == ".png":
            text, xmp = image.info["parameters"], image.info["XML:com.adobe.xmp"].encode()
        elif suffix == ".tif":
            import rasterio

            with rasterio.open(path) as dataset:
                text = dataset.tags()["parameters"]
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            xmp = image.tag_v2[700]
        else:
            comment = image.getexif().get_ifd(0x8769)[0x9286]
            assert comment.startswith(b"UNICODE\0")
            text, xmp = comment[8:].decode("utf-16-be"), image.info["xmp"]
    for read in (as_a1111, as_civitai):
        assert read(text).details["Size"] == "61x43"
    packet = xmp.decode()
    assert packet.startswith('<?xpacket begin="\ufeff"')
    assert (
        "<Iptc4xmpExt:DigitalSourceType>"
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia<" in packet
    )
    assert "<Iptc4xmpExt:AISystemUsed>sd_xl_base_1.0<" in packet


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_painters_picture_is_not_marked(tmp_path, suffix):
    body = write(tmp_path / f"map{suffix}", PAINTED).read_bytes()
    assert b"digitalsourcetype" not in body
    assert b"digitalsourcetype" in write(tmp_path / f"made{suffix}", MADE).read_bytes()


def test_the_term_says_how_much_was_kept():
    assert source_type(replace(MAKING, strength=0.99)) == "compositeWithTrainedAlgorithmicMedia"
    assert source_type(replace(MAKING, strength=1.0)) == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_known_only_at_the_end_is_said_too(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    late = replace(MADE, making=replace(MAKING, exact=False))
    with open_sink(path, Sheet(WEB, MADE)) as sink:
        sink.write(WEB, np.zeros((*WEB.shape, 3), np.uint8))
        sink.describe(late)
    assert read_record(path, read_found(path).made).provenance == late


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_letters_stop_nothing(tmp_path, suffix):
    odd = "a\udc80b\0c\x1bd\ufffe"
    provenance = replace(MADE, title=odd, attribution=odd, making=replace(MAKING, prompt=odd, negative=odd))
    path = write(tmp_path / f"map{suffix}", provenance)
    found = read_found(path)
    assert read_record(path, found.made).provenance == provenance
    assert as_a1111(found.parameters).prompt.startswith("a\ufffdb c d\ufffd")


def test_a_jpeg_says_before_painting_what_it_cannot_hold(tmp_path):
    long = replace(MADE, making=replace(MAKING, prompt="word " * 20_000))
    with pytest.raises(OutputError, match=r"\.png"):
        write(tmp_path / "map.jpg", long)
    assert not list(tmp_path.iterdir())
    path = write(tmp_path / "map.png", long)
    assert read_record(path, read_found(path).made).provenance == long


def test_a_tile_carries_nothing():
    data, kinds, at = encode_tile(np.zeros((256, 256, 3), np.uint8)), set(), 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        kinds.add(kind)
        at += length + 12
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_another_programs_parameters_are_found(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png", pnginfo=info)
    assert read_found(tmp_path / "cat.png") == Found(
        parameters="a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"
    )
    for order, name in (("<", "utf-16-le"), (">", "utf-16-be")):
        exif = Image.Exif()
        exif.endian = order
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a cat\nSteps: 20, Seed: 1".encode(name)
        for suffix in ("jpg", "webp"):
            Image.new("RGB", (8, 8)).save(tmp_path / f"cat.{suffix}", exif=exif)
            assert read_found(tmp_path / f"cat.{suffix}") == Found(parameters="a cat\nSteps: 20, Seed: 1")


def test_an_editors_way_of_writing_xmp_is_read_too(tmp_path):
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'ext:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    for suffix in ("jpg", "webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"x.{suffix}", xmp=packet.encode())
        assert read_found(tmp_path / f"x.{suffix}").source_type == "trainedAlgorithmicMedia"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, side: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *chunks, chunk(b"IEND", b"")])


def test_bombs_do_not_go_off(tmp_path):
    bomb = zlib.compress(b"Steps: " + bytes(200 << 20), 9)
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*[chunk(b"zTXt", b"parameters\0\0" + bomb)] * 50, side=2**31 - 1))
    assert len(read_found(path).parameters) == LONGEST
    path.write_bytes(png(chunk(b"tEXt", b"mapstyle\0" + b"[" * LONGEST)))
    assert read_found(path) == Found(), "a chunk longer than the limit is passed over"
    with pytest.raises(SourceError, match="broken"):
        read_record(path, "[" * 100_000)
    entities = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + PAINTED.title
    path.write_bytes(png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + entities.encode())))
    assert read_found(path) == Found()


def test_a_deep_table_is_one_line(tmp_path):
    made = json.loads(MADE.as_json(WEB))
    made["making"]["lattice"] = json.loads('{"a":' * 900 + "1" + "}" * 900)
    with pytest.raises(SourceError, match="broken") as caught:
        read_record(tmp_path / "x.png", json.dumps(made).replace('"seed": 7', '"seed": -7'))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frame", [0, 0, 0, 10]), ("frame", [0, 0, 10]), ("frame", "all"), ("frame", [2**50, 0, 10, 10]),
        ("frame", [2**35, 0, 10, 10]), ("resolution", 0), ("resolution", float("inf")), ("resolution", 3.0),
        ("level", 99), ("turn", 5), ("pixel_ratio", 9), ("seed", "x"), ("seed", 2**63), ("seed", -1), ("style", None),
        ("origin", None), ("crs", 5), ("making", {"prompt": "x"}), ("making", 5),
    ],
)  # fmt: skip
def test_metadata_that_no_picture_of_ours_has_is_one_line(tmp_path, key, value):
    made = json.loads(MADE.as_json(WEB))
    assert read_record(tmp_path / "x.png", json.dumps(made)).provenance == MADE
    for wrong in ({**made, key: value}, {k: v for k, v in made.items() if k != key or key == "making"}):
        if wrong == made:
            continue
        with pytest.raises(SourceError, match=r"x\.png: its metadata is broken") as caught:
            read_record(tmp_path / "x.png", json.dumps(wrong))
        assert "\n" not in str(caught.value)


def test_names_of_a_later_version_are_passed_over(tmp_path):
    made = {**json.loads(MADE.as_json(WEB)), "mood": "fine", "moods": [1, 2]}
    assert read_record(tmp_path / "x.png", json.dumps(made)).provenance.more["mood"] == "fine"


@pytest.mark.parametrize("text", ["", "5", "[]", "{", "null", '"x"'])
def test_json_that_is_none_of_ours_is_one_line(tmp_path, text):
    with pytest.raises(SourceError, match="broken"):
        read_record(tmp_path / "x.png", text)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bodies")
    return {s: write(folder / f"map{s}", MADE).read_bytes() for s in SUFFIXES}


@settings(max_examples=120)
@given(st.data())
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_broken_file_is_read_or_refused_in_a_line(tmp_path_factory, bodies, suffix, data):
    body = bytearray(bodies[suffix])
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(body)), st.integers(0, len(body))))
    path = tmp_path_factory.getbasetemp() / f"broken{suffix}"
    path.write_bytes(body[:end])
    try:
        found = read_found(path)
        if found.made:
            read_record(path, found.made)
    except SourceError as error:
        told = str(error)
    else:
        told = str(path)
    assert "\n" not in told
    assert str(path) in told


def test_no_picture_is_one_line(tmp_path):
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "sound.webp").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    for path in (tmp_path / "words.txt", tmp_path / "gone.png", tmp_path, tmp_path / "sound.webp"):
        with pytest.raises(SourceError) as caught:
            read_found(path)
        assert "\n" not in str(caught.value)


def test_a_plain_picture_says_nothing(tmp_path):
    for suffix in SUFFIXES:
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
        (tmp_path / f"x{suffix}").write_bytes(stream.getvalue())
        assert read_found(tmp_path / f"x{suffix}") == Found()
