import bz2
import gzip
import io
import stat
import zipfile
from pathlib import Path

import pytest
from osm_builder import Osm, square

from mapstyle.errors import SourceError
from mapstyle.layers import LayerKind
from mapstyle.sources import archives
from mapstyle.sources.atlas import Shape
from mapstyle.sources.store import open_atlas

HOUSE = (LayerKind.BUILDING, Shape.AREA)


def town() -> bytes:
    osm = Osm()
    osm.way(square(1.0, 1.0, 0.001), building="yes")
    return osm.text().encode()


def refused(path: Path, cache: Path) -> str:
    before = set(Path(archives.__file__).parent.iterdir())
    with pytest.raises(SourceError) as caught:
        open_atlas([str(path)], cache=cache)
    assert set(Path(archives.__file__).parent.iterdir()) == before
    assert not list(cache.glob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_osm_files_are_read(pack, tmp_path):
    path = tmp_path / ("a.osm.gz" if pack is gzip.compress else "a.osm.bz2")
    path.write_bytes(pack(town()))
    assert len(open_atlas([str(path)], cache=tmp_path / "c").tables[HOUSE]) == 1


def test_a_zip_is_read_with_all_that_it_holds(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/town.osm", town())
        archive.writestr("deep/again.osm.gz", gzip.compress(town()))
        archive.writestr("readme.exe", b"MZ")
    assert len(open_atlas([str(path)], cache=tmp_path / "c").tables[HOUSE]) == 1  # the same way twice


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("spoil", ["cut", "flip", "none"])
def test_damaged_packing_is_refused(pack, spoil, tmp_path):
    data = bytearray(pack(town()))
    if spoil == "cut":
        data = data[:-20]
    elif spoil == "flip":
        data[len(data) // 2] ^= 0xFF
    else:
        data = bytearray(b"<osm></osm>")
    path = tmp_path / ("a.osm.gz" if pack is gzip.compress else "a.osm.bz2")
    path.write_bytes(data)
    assert "damaged" in refused(path, tmp_path / "c")


@pytest.mark.parametrize("suffix", [".osm.gz", ".osm.bz2", ".zip"])
def test_a_bomb_is_refused_before_it_fills_the_disk(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    zeros = b"\0" * (8 << 20)
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.osm", zeros)
    else:
        path.write_bytes((gzip if suffix == ".osm.gz" else bz2).compress(zeros))
    assert "no honest file" in refused(path, tmp_path / "c")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 16)
    path = tmp_path / "liar.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.osm", b"\0" * (8 << 20))
    data = buffer.getvalue().replace((8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    assert "liar.zip" in refused(path, tmp_path / "c")


@pytest.mark.parametrize("name", ["../../town.osm", "/etc/town.osm", "C:\\town.osm", "a\\..\\..\\town.osm"])
def test_a_name_that_leads_out_is_refused(name, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), town())
    assert "outside" in refused(path, tmp_path / "c")


def test_a_link_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("town.osm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "link" in refused(path, tmp_path / "c")


def test_a_zip_of_nothing_useful_and_one_that_is_none_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "holds no file" in refused(path, tmp_path / "c")
    path.write_bytes(b"PK\x03\x04 not really")
    assert "zip" in refused(path, tmp_path / "c")


@pytest.mark.parametrize("spoil", ["cut", "flip", "noise"])
def test_a_damaged_pbf_is_refused(spoil, shared_data, tmp_path, capfd):
    data = bytearray((shared_data / "andorra.osm.pbf").read_bytes())
    if spoil == "cut":
        data = data[:300_000]
    elif spoil == "flip":
        data[250_000:250_060] = bytes(60)
    else:
        data = bytearray(bytes(range(256)) * 99)
    path = tmp_path / "a.osm.pbf"
    path.write_bytes(data)
    assert "damaged" in refused(path, tmp_path / "c")
    assert capfd.readouterr() == ("", "")


def test_elevation_in_a_zip_is_told_from_features(tmp_path):
    path = tmp_path / "N42E001.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("N42E001.hgt", b"\0\0" * 1201 * 1201)
    assert archives.zip_holds_elevation(path, path.name)
