"""Whatever is wrong with an output is found, by nothing but the output; and no file can harm who looks."""

import gzip
import io
import json
import os
import random
import re
import shutil
import sqlite3
import struct
import tracemalloc
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from exports.test_tile_sinks import TILESET, picture, read, shuffled, write
from PIL import Image
from pmtiles.reader import MmapSource, Reader
from pmtiles.tile import Compression, Entry, deserialize_header, serialize_directory, serialize_header

from mapstyle.errors import OutputError
from mapstyle.exports.cog import MARK, file_digest
from mapstyle.exports.contents import CONTENTS, Contents, Part, tile_digest
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.page import PAGE
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import METADATA, UNFINISHED
from mapstyle.exports.verdict import LISTED, tile_fault
from mapstyle.exports.verify import verify_tiles

SHAPE = replace(TILESET, bounds=(2.11, 54.22, 2.29, 54.29), minzoom=11, maxzoom=13)
KEEPING = ["map", "map.mbtiles", "map.pmtiles"]
OUTPUTS = [*KEEPING, "map.tif"]


@lru_cache
def tiles_of(tileset: Tileset = SHAPE) -> dict[tuple[int, int, int], bytes]:
    return {
        (part.level, x, y): encode(picture(part.level, x, y, tileset.side) // 16 * 16, tileset.format)
        for part in tileset.parts
        for x, y in part.tiles()
    }


def metadata(path: Path):
    """Read metadata without our code."""
    if path.suffix == ".mbtiles":
        with sqlite3.connect(path) as database:
            return dict(database.execute("SELECT name, value FROM metadata"))
    if path.suffix == ".pmtiles":
        with path.open("rb") as file:
            reader = Reader(MmapSource(file))
            return reader.metadata(), reader.header()
    return json.loads((path / METADATA).read_text())


def whats(path: Path, **more) -> list[str]:
    return [f"{fault.where}: {fault.what}" for fault in verify_tiles(path, **more).faults]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
@pytest.mark.parametrize(("size", "ratio", "scheme"), [(256, 1, "xyz"), (512, 1, "tms"), (256, 2, "xyz")])
def test_what_was_just_written_is_sound(tmp_path, output, kind, size, ratio, scheme):
    tileset = replace(
        SHAPE, format=TileFormat(kind=kind), tile_size=size, pixel_ratio=ratio, scheme=scheme, minzoom=12, maxzoom=12
    )
    tiles = tiles_of(tileset)
    verdict = verify_tiles(write(tmp_path / output, shuffled(tiles, 1), tileset))
    assert verdict.faults == ()
    assert verdict.sound
    assert verdict.promised == verdict.present == len(tiles)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("bounds", [(170.0, 40.0, 195.0, 60.0), (-180.0, -85.06, 180.0, 85.06)])
def test_the_antimeridian_and_the_world_are_sound(tmp_path, output, bounds):
    tileset = replace(TILESET, bounds=bounds, minzoom=0, maxzoom=4)
    verdict = verify_tiles(write(tmp_path / output, shuffled(tiles_of(tileset), 1), tileset))
    assert verdict.faults == ()
    assert verdict.present


def test_pmtiles_with_leaves_are_sound(tmp_path):
    tileset = replace(TILESET, minzoom=7, maxzoom=7, bounds=(-180, -85.06, 180, 85.06))
    rng = random.Random(8)
    plain = encode(np.zeros((256, 256, 3), np.uint8), tileset.format)
    some = [plain + rng.randbytes(rng.randrange(1, 300)) for _ in range(9000)]
    tiles = {(7, x, y): rng.choice(some) for x in range(128) for y in range(128)}
    path = write(tmp_path / "map.pmtiles", tiles, tileset)
    assert metadata(path)[1]["leaf_directory_length"] > 0
    assert verify_tiles(path).faults == ()
    data = bytearray(path.read_bytes())
    data[metadata(path)[1]["leaf_directory_offset"] + 40] ^= 4
    path.write_bytes(data)
    assert any("directory: the one at byte" in what for what in whats(path))


@pytest.mark.parametrize("output", OUTPUTS)
def test_tiles_whose_blocks_failed_are_named_with_their_cure(tmp_path, output):
    tiles = dict(tiles_of())
    gone = [t for t in tiles if t[0] >= 12][2:5]
    for tile in gone:
        del tiles[tile]
    verdict = verify_tiles(write(tmp_path / output, tiles, SHAPE))
    assert {fault.where for fault in verdict.faults} == {"tile {}/{}/{}".format(*tile) for tile in gone}
    assert all("was never made" in fault.what and "--retry-failed" in fault.cure for fault in verdict.faults)
    assert (verdict.count, verdict.promised - verdict.present) == (3, 3)


@pytest.mark.parametrize("output", OUTPUTS)
def test_many_missing_tiles_are_counted_and_the_first_are_listed(tmp_path, output):
    tileset = replace(SHAPE, minzoom=13, bounds=(2.11, 54.22, 2.45, 54.39))
    tiles = tiles_of(tileset)
    verdict = verify_tiles(write(tmp_path / output, dict(list(tiles.items())[:-40]), tileset))
    assert len(verdict.faults) == LISTED
    assert verdict.count == verdict.promised - verdict.present == 40


def drop_tile(path: Path, tile: tuple[int, int, int]) -> None:
    z, x, y = tile
    if path.is_dir():
        (path / f"{z}/{x}/{y}.png").unlink()
    else:
        with sqlite3.connect(path) as database:
            key = (z, x, (1 << z) - 1 - y)
            database.execute("DELETE FROM tiles WHERE zoom_level=? AND tile_column=? AND tile_row=?", key)


@pytest.mark.parametrize("output", ["map", "map.mbtiles"])
def test_a_tile_that_was_lost_is_missing_not_failed(tmp_path, output):
    path = write(tmp_path / output, tiles_of(), SHAPE)
    tile = list(tiles_of())[3]
    drop_tile(path, tile)
    found = verify_tiles(path).faults
    assert "tile {}/{}/{}: is missing".format(*tile) in [f"{fault.where}: {fault.what}" for fault in found]
    assert all("--overwrite" in fault.cure for fault in found if "missing" in fault.what)


@pytest.mark.parametrize("output", KEEPING)
def test_another_tile_of_the_same_size_is_found_by_the_digest(tmp_path, output):
    tiles = dict(tiles_of())
    first, second = [t for t in tiles if t[0] == 13 and t[1] % 3][:2]
    good = write(tmp_path / output, tiles, SHAPE)
    tiles[first], tiles[second] = tiles[second], tiles[first]
    swapped = write(tmp_path / f"swapped{output}", tiles, SHAPE)
    assert verify_tiles(swapped).sound, "by itself, it is what it says"
    digests = {tile: tile_digest(*tile, data) for tile, data in tiles_of().items()}
    assert verify_tiles(good, lambda *tile: digests.get(tile)).sound
    found = whats(swapped, expected=lambda *tile: digests.get(tile))
    assert sorted(found) == sorted(
        "tile {}/{}/{}: is another than the finished block's".format(*tile) for tile in (first, second)
    )
    if good.is_dir():  # and nobody tells what should be there
        a, b = (good / "{}/{}/{}.png".format(*tile) for tile in (first, second))
        a.rename(good / "x"), b.rename(a), (good / "x").rename(b)
        assert len(whats(good)) == 1
        assert "are not those that were written" in whats(good)[0]


@pytest.mark.parametrize("output", KEEPING)
def test_finished_blocks_tell_what_should_be_there(tmp_path, output):
    digests = {tile: tile_digest(*tile, data) for tile, data in tiles_of().items()}
    tiles = dict(tiles_of())
    missing, extra = list(tiles)[4], list(tiles)[7]
    del tiles[missing], digests[extra]
    found = whats(write(tmp_path / output, tiles, SHAPE), expected=lambda *tile: digests.get(tile))
    assert sorted(found) == sorted([
        "tile {}/{}/{}: is missing, though its block is finished".format(*missing),
        "tile {}/{}/{}: is there, but no finished block has it".format(*extra),
    ])  # fmt: skip


def spoil(path: Path, rng: random.Random, i: int) -> tuple[Path, bytes, bytes]:
    """Damage an output: cut it off, write noise over it or turn a bit over, at a random place."""
    files = [path] if path.is_file() else [f for f in sorted(path.rglob("*")) if f.is_file() and f.name != PAGE]
    file = rng.choice(files)
    if path.is_dir() and i % 4 == 0:
        file = path / METADATA
    old = file.read_bytes()
    data = bytearray(old)
    if i % 10 == 0:
        del data[rng.randrange(len(data)) :]
    elif i % 10 == 1:
        at = rng.randrange(len(data))
        data[at : at + 64] = rng.randbytes(len(data[at : at + 64]))
    else:
        at = rng.randrange(len(data) if i % 2 else min(len(data), 6000))
        data[at] ^= 1 << rng.randrange(8)
    return file, old, bytes(data)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_damage_is_found_or_changes_nothing(tmp_path, output, kind, capfd):
    tileset = replace(SHAPE, minzoom=11, maxzoom=12, format=TileFormat(kind=kind))
    path = write(tmp_path / output, tiles_of(tileset), tileset)
    good = None if output == "map.tif" else (read(path), metadata(path))
    rng, found, changed = random.Random(output + kind), 0, 0
    for i in range(200):
        file, old, new = spoil(path, rng, i)
        file.write_bytes(new)
        changed += new != old
        if not verify_tiles(path).sound:
            found += 1
        elif new != old:
            assert output != "map.tif", "the digest of the file finds everything"
            assert (read(path), metadata(path)) == good
        file.write_bytes(old)
    assert verify_tiles(path).sound
    assert changed >= 180
    assert found >= (changed // 4 if output == "map.mbtiles" else changed * 9 // 10), "pages of SQLite have empty room"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("output", OUTPUTS)
def test_noise_is_no_output_and_does_no_harm(tmp_path, output):
    path, rng = tmp_path / output, random.Random(3)
    if output == "map":
        path.mkdir()
    heads = [b"", b"SQLite format 3\0", b"PMTiles\x03", b"II*\0", b"II+\0\x08\0\0\0", b"{"]
    for i in range(60):
        data = heads[i % 6] + rng.randbytes(rng.choice([0, 1, 50, 500, 50_000]))
        (path / METADATA if output == "map" else path).write_bytes(data)
        verdict = verify_tiles(path)
        assert not verdict.sound
        assert all("\n" not in str(fault) and str(fault).isprintable() for fault in verdict.faults)


def resealed(contents: Contents, words) -> str:
    return contents.sealed(words).as_json()


def test_metadata_that_promise_more_than_there_can_be_take_no_memory(tmp_path):
    path = write(tmp_path / "map", tiles_of(), SHAPE)
    told = json.loads((path / METADATA).read_text())
    for level in (11, 12, 13):
        shutil.rmtree(path / str(level))
    for part, what in (
        (Part(24, 0, 0, 1 << 24, 1 << 24), "more than any map has"),
        (Part(16, 0, 0, 1 << 16, 1 << 16), "is missing"),
    ):
        told[CONTENTS] = resealed(Contents((part,), 5, "0" * 32), told)
        (path / METADATA).write_text(json.dumps(told))
        tracemalloc.start()
        found = whats(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert any(what in text for text in found)
        assert peak < 1 << 30


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "[" * 100_000, '{"count": 1e400}', '{"count": true, "digest": "' + "0" * 32 + '"}', 7, None,
     {"count": 1}, '{"count":1,"digest":"' + "0" * 32 + '","about":"' + "0" * 32 + '","levels":[[1,0,0,9,1]]}',
     '{"count":1,"digest":"' + "0" * 32 + '","about":"' + "0" * 32 + '","levels":[[1,0,0,1,1],[1,0,0,1,1]]}'],
)  # fmt: skip
def test_contents_that_make_no_sense_are_none(text):
    assert Contents.from_json(text) is None


def test_contents_come_back():
    contents = Contents((Part(3, 6, 1, 4, 2), Part(4, 12, 2, 8, 4)), 3, "ab" * 16).sealed({"name": "Town"})
    assert Contents.from_json(contents.as_json()) == contents
    assert [t for t in contents.parts[0].tiles()][:4] == [(6, 1), (7, 1), (0, 1), (1, 1)]
    assert [contents.parts[0].index(*t) for t in contents.parts[0].tiles()] == list(range(8))
    assert contents.parts[0].index(2, 1) is contents.parts[0].index(6, 3) is contents.parts[0].index(14, 1) is None


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(min((width * 3 + 1) * height, 200_000_000)), 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + pixels + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **more) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


BLACK = Image.new("RGB", (256, 256))
BAD_TILES = [
    ("png", png(9_000, 9_000), "9000 x 9000 px"),
    ("png", png(10_000, 10_000), "10000 x 10000 px|DecompressionBomb"),
    ("png", png(20_000, 20_000), "DecompressionBomb"),
    ("png", png(2**31 - 1, 2**31 - 1), r"cannot be read|px"),
    ("png", png(256, 256, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))), "cannot be read"),
    ("png", png(255, 256), "255 x 256 px, not 256 x 256"),
    ("png", png(256, 256)[:-40], "cannot be read"),
    ("png", saved(BLACK, "JPEG"), "cannot be read"),
    ("png", saved(BLACK.convert("RGBA"), "PNG"), "other colours"),
    ("png", b"", "cannot be read"),
    ("jpeg", saved(BLACK, "JPEG")[:300], "cannot be read"),
    ("jpeg", saved(BLACK.convert("L"), "JPEG"), "other colours"),
    ("jpeg", saved(BLACK, "JPEG").replace(b"\x01\0\x01\0\x03", b"\xff\xff\xff\xff\x03"), "cannot be read|65535"),
    ("webp", saved(Image.new("RGB", (16383, 2)), "WEBP"), "16383 x 2 px"),
    ("webp", saved(BLACK, "WEBP", save_all=True, append_images=[Image.new("RGB", (256, 256), "red")]), "no webp as it"),
    ("webp", saved(BLACK, "WEBP")[:60], "cannot be read"),
    ("webp", b"RIFF", "no webp"),
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("kind", "data", "what"), BAD_TILES)
def test_a_tile_that_is_none_is_told_and_large_ones_are_not_unpacked(tmp_path, kind, data, what):
    tracemalloc.start()
    assert re.search(what, tile_fault(data, kind, 256))
    assert tracemalloc.get_traced_memory()[1] < 120 << 20
    tracemalloc.stop()
    tileset = replace(SHAPE, format=TileFormat(kind=kind), minzoom=12, maxzoom=12)
    tiles = {**tiles_of(tileset), next(iter(tiles_of(tileset))): data}
    for output in KEEPING:
        verdict = verify_tiles(write(tmp_path / output, tiles, tileset))
        assert verdict.count == 1, "the digest is right, the tile is not"
        assert re.search(what + "|larger than a tile can be", verdict.faults[0].what)


def test_a_folder_has_nothing_else_in_it(tmp_path):
    path = write(tmp_path / "map", tiles_of(), SHAPE)
    z, x, y = next(iter(tiles_of()))
    (path / "letter.txt").write_text("mine")
    (path / ".mapstyle-host-1-abc").mkdir()
    (path / UNFINISHED).write_text("{}")
    (path / f"{z}" / "letter").write_text("mine")
    (path / f"{z}" / "9").mkdir()
    (path / f"{z}/{x}" / "letter.png").write_text("mine")
    (path / f"{z}/{x}" / f"0{y}.png").write_text("mine")
    (path / f"{z}/{x}" / f"{y}.webp").write_text("mine")
    (path / "7").mkdir()
    (path / "7" / "0").mkdir()
    shutil.copy(path / f"{z}/{x}/{y}.png", path / "7" / "0" / "0.png")
    (path / "13" / "far").symlink_to("/")
    (path / PAGE).unlink()
    found = whats(path)
    assert {text.split(":")[0] for text in found} >= {
        "letter.txt", ".mapstyle-host-1-abc", UNFINISHED, f"{z}/letter", f"{z}/9", f"{z}/{x}/letter.png",
        f"{z}/{x}/0{y}.png", f"{z}/{x}/{y}.webp", "tile 7/0/0", "13/far", PAGE,
    }  # fmt: skip
    assert len(found) == 11


def test_links_and_devices_in_a_folder_are_not_followed(tmp_path):
    path = write(tmp_path / "map", tiles_of(), SHAPE)
    z, x, y = next(iter(tiles_of()))
    (path / f"{z}/{x}/{y}.png").unlink()
    (path / f"{z}/{x}/{y}.png").symlink_to("/dev/zero")
    assert any("does not belong" in text for text in whats(path))
    (path / f"{z}/{x}/{y}.png").unlink()
    os.mkfifo(path / f"{z}/{x}/{y}.png")
    assert any("does not belong" in text for text in whats(path))


def test_metadata_of_a_folder_may_name_the_address_it_is_published_at_and_nothing_else(tmp_path):
    path = write(tmp_path / "map", tiles_of(), SHAPE)
    told = json.loads((path / METADATA).read_text())
    for url, sound in (("https://maps.example/town/{z}/{x}/{y}.png", True), ("{z}/{y}/{x}.png", False)):
        (path / METADATA).write_text(json.dumps({**told, "tiles": [url]}))
        assert verify_tiles(path).sound is sound
    for change in ({"name": "Other"}, {"minzoom": 3}, {"more": 1}, {"scheme": "tms"}, {"mapstyle": "{}"}):
        (path / METADATA).write_text(json.dumps({**told, **change}))
        assert any(METADATA in text and "changed" in text for text in whats(path))


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE metadata SET value = 'Other' WHERE name = 'name'", "have been changed"),
        ("DELETE FROM metadata WHERE name = 'bounds'", "have been changed"),
        ("DELETE FROM metadata WHERE name = 'mapstyle_tiles'", "do not say which tiles"),
        ("UPDATE metadata SET value = x'00' WHERE name = 'name'", "something else than text"),
        ("INSERT INTO tiles SELECT 3, 1, 1, tile_data FROM tiles LIMIT 1", "is none of this pyramid's"),
        ("UPDATE tiles SET zoom_level = zoom_level + 1", "is none of this pyramid's"),
        ("UPDATE tiles SET tile_data = 'text' WHERE rowid = 3", "a row that is no tile"),
        ("UPDATE tiles SET zoom_level = 'a' WHERE rowid = 3", "a row that is no tile"),
        ("UPDATE tiles SET tile_data = zeroblob(9000000) WHERE rowid = 3", "larger than a tile can be"),
        ("UPDATE tiles SET tile_row = -9000000000000000000 WHERE rowid = 3", "is none of this pyramid's"),
        ("DROP INDEX tile_index", "other tables or indexes"),
        ("ALTER TABLE tiles RENAME TO t; CREATE VIEW tiles AS SELECT * FROM t", "other tables or indexes"),
        ("DROP TABLE metadata", "other tables or indexes"),
        ("PRAGMA application_id = 7", "application id"),
    ],
)
def test_what_is_wrong_with_mbtiles(tmp_path, statement, what):
    path = write(tmp_path / "map.mbtiles", tiles_of(), SHAPE)
    with sqlite3.connect(path) as database:
        database.executescript(statement)
    database.close()
    assert any(what in text for text in whats(path)), whats(path)


def test_mbtiles_with_a_journal_beside_them_are_told(tmp_path):
    path = write(tmp_path / "map.mbtiles", tiles_of(), SHAPE)
    (tmp_path / "map.mbtiles-wal").write_bytes(b"x")
    assert whats(path) == ["map.mbtiles-wal: somebody is changing the file, or was stopped doing so"]


def remade(path: Path, *, entries=None, words=None, tail=b"", **header) -> None:
    """Write PMTiles anew with something else in them."""
    data = path.read_bytes()
    head = deserialize_header(data[:127])
    root = data[127 : 127 + head["root_length"]] if entries is None else entries
    start = head["metadata_offset"]
    words = data[start : start + head["metadata_length"]] if words is None else words
    body = data[head["tile_data_offset"] :]
    head |= {
        "root_length": len(root), "metadata_offset": 127 + len(root), "metadata_length": len(words),
        "leaf_directory_offset": 127 + len(root) + len(words), "leaf_directory_length": len(tail),
        "tile_data_offset": 127 + len(root) + len(words) + len(tail), **header,
    }  # fmt: skip
    path.write_bytes(serialize_header(head) + root + words + tail + body)


BOMB = gzip.compress(bytes(300_000_000), 9)
MANY = gzip.compress(b"\xff\xff\xff\xff\x0f" + b"\x01" * 100)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"addressed_tiles_count": 7}, "counts other tiles"),
        ({"tile_contents_count": 7}, "counts other tiles"),
        ({"tile_entries_count": 7}, "counts other tiles"),
        ({"clustered": False}, "in order"),
        ({"max_zoom": 9}, "tells of other levels"),
        ({"min_lon_e7": 7}, "have been changed"),
        ({"center_zoom": 2}, "have been changed"),
        ({"tile_data_length": 2**63}, "speaks of"),
        ({"root_offset": 128}, "begins elsewhere"),
        ({"tile_compression": Compression.GZIP}, "another compression"),
        ({"entries": BOMB}, "cannot be read"),
        ({"entries": MANY}, "cannot be read"),
        ({"entries": gzip.compress(b"\x80")}, "cannot be read"),
        ({"entries": gzip.compress(b"\0")}, "cannot be read"),
        ({"words": BOMB}, "cannot be read"),
        ({"words": gzip.compress(b"[" * 100_000)}, "cannot be read"),
        ({"words": gzip.compress(b"{}")}, "do not say"),
        ({"entries": serialize_directory([Entry(5, 0, 10, 2**40)])}, "none of this pyramid's"),
        ({"entries": serialize_directory([Entry(5, 2**40, 10, 1)])}, "points out of the file"),
        ({"entries": gzip.compress(b"\x01\x05\x01\x0a\x00")}, "points out of the file"),
        ({"entries": serialize_directory([Entry(2**80, 0, 10, 1)])}, "not in order"),
        ({"entries": serialize_directory([Entry(5, 0, 10, 0)])}, "points to no directory"),
        ({"entries": serialize_directory([Entry(5, 0, len(MANY), 0)]), "tail": MANY}, "cannot be read"),
        ({"tail": b"abc"}, "leaves do not fill"),
    ],
)
def test_what_is_wrong_with_pmtiles(tmp_path, change, what):
    path = write(tmp_path / "map.pmtiles", tiles_of(), SHAPE)
    remade(path)
    assert verify_tiles(path).sound
    tracemalloc.start()
    remade(path, **change)
    assert any(what in text for text in whats(path)), whats(path)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def reseal(path: Path) -> None:
    """Give a COG the digest that it has by now."""
    _, digest, at = file_digest(path)
    data = bytearray(path.read_bytes())
    data[at : at + 32] = digest.encode()
    path.write_bytes(data)


def test_a_cog_whose_digest_was_made_right_again_is_still_looked_at(tmp_path, capfd):
    path = write(tmp_path / "map.tif", tiles_of(), SHAPE)
    good, rng, found = path.read_bytes(), random.Random(5), 0
    for i in range(80):
        data = bytearray(good)
        if i % 8 == 0:
            del data[rng.randrange(len(data) // 2, len(data)) :]
        else:
            data[rng.randrange(len(data) if i % 2 else 3000)] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        if file_digest(path)[0]:
            reseal(path)
        found += not verify_tiles(path).sound
    assert found > 40, "DEFLATE has a checksum of its own, and most of the head means something"


def test_a_cog_that_hides_tiles_in_part_or_has_lost_an_overview_is_told(tmp_path):
    path = write(tmp_path / "map.tif", dict(list(tiles_of().items())[:-1]), SHAPE)
    plain = tmp_path / "plain.tif"
    with rasterio.open(path) as dataset:
        tags = dataset.tags()
        rgb, mask, profile = dataset.read(), dataset.read_masks(1), dataset.profile
    mask[5:9, 7:20] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(plain, "w", **profile) as dataset:
        dataset.write(rgb)
        dataset.write_mask(mask)
        dataset.update_tags(**tags)
    assert MARK in plain.read_bytes()
    reseal(plain)
    found = whats(plain)
    assert any("overviews: are not all there" in text for text in found)
    assert any("layout: is not that of a Cloud Optimized GeoTIFF" in text for text in found)
    assert any("is there in part only" in text for text in found)


def test_a_geotiff_of_somebody_elses_is_told(tmp_path):
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8", crs="EPSG:3857",
                       transform=rasterio.Affine(2, 0, 0, 0, -2, 0)) as dataset:  # fmt: skip
        dataset.write(np.zeros((1, 9, 9), np.uint8))
    assert whats(path) == ["map.tif: does not say what it should be (no digest of ours)"]


@pytest.mark.parametrize(
    ("name", "what"), [("gone", "no such output"), ("map.zip", "no known kind"), ("file", "no output of tiles")]
)
def test_what_is_no_output_is_one_line(tmp_path, name, what):
    (tmp_path / "file").write_text("")
    (tmp_path / "map.zip").write_text("")
    with pytest.raises(OutputError, match=what) as told:
        verify_tiles(tmp_path / name)
    assert "\n" not in str(told.value)


def test_a_great_archive_is_not_held_in_memory(tmp_path):
    tileset = replace(TILESET, bounds=(0, 0.001, 22, 22), minzoom=10, maxzoom=10)
    rng = np.random.default_rng(1)
    some = [encode(rng.integers(0, 256, (256, 256, 3), np.uint8), tileset.format) for _ in range(3)]
    tiles = {(10, x, y): some[(x + y) % 3] for x, y in tileset.part(10).tiles()}
    for output in KEEPING[1:]:
        path = write(tmp_path / output, dict(list(tiles.items())[:600]), tileset)
        tracemalloc.start()
        assert verify_tiles(path).present == 600
        assert tracemalloc.get_traced_memory()[1] < 8 << 20, "of 120 MB of MBTiles"
        tracemalloc.stop()
