"""Hashes are those by which people look weights up, and are found again without reading."""

import hashlib
import json
import os

import pytest

from mapstyle.engines.diffusion.hashes import Hashes, digest_file, digest_folder


def write_weights(path, body=b"\1\2\3\4", **metadata):
    header = json.dumps(
        {"__metadata__": metadata, "t": {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}}
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


def test_autov2_is_of_the_whole_file_and_autov3_of_its_body(tmp_path):
    one = digest_file(write_weights(tmp_path / "a.safetensors", ss_output_name="a"))
    two = digest_file(write_weights(tmp_path / "b.safetensors", ss_output_name="another"))
    assert one.sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert one.autov2 == one.sha256[:10]
    assert one.autov3 == hashlib.sha256(b"\1\2\3\4").hexdigest()[:12]
    assert one.autov3 == two.autov3, "an edited header leaves AutoV3 as it was"
    assert one.autov2 != two.autov2
    assert digest_file(write_weights(tmp_path / "c.safetensors", b"\1\2\3\5")).autov3 != one.autov3


def test_the_hash_that_the_metadata_carries_goes_first(tmp_path):
    carried = "0123456789abcdef" * 4
    assert digest_file(write_weights(tmp_path / "a.safetensors", sshs_model_hash=carried)).autov3 == carried[:12]
    body = hashlib.sha256(b"\1\2\3\4").hexdigest()[:12]
    for hostile in ("", "0123", "zz" * 32, '", Hashes: {'):
        assert digest_file(write_weights(tmp_path / "b.safetensors", sshs_model_hash=hostile)).autov3 == body


@pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 20, (4).to_bytes(8, "little") + b"{]"])
def test_what_is_no_safetensors_file_still_has_a_hash(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert digest_file(path).sha256 == hashlib.sha256(data).hexdigest()


def test_other_files_have_no_autov3(tmp_path):
    path = write_weights(tmp_path / "a.safetensors").rename(tmp_path / "a.json")
    assert digest_file(path).autov3 == ""


def test_a_folder_is_its_files_in_order():
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    assert digest_folder([one, two]) == hashlib.sha256(bytes.fromhex(one + two)).hexdigest()
    assert digest_folder([one, two]) != digest_folder([two, one])


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = write_weights(tmp_path / "a.safetensors")
    hashes = Hashes(tmp_path / "registry")
    first = hashes.of(path)
    kept = tmp_path / "registry" / "hashes.json"
    table = json.loads(kept.read_text())
    table[str(path)]["sha256"] = "0" * 64
    kept.write_text(json.dumps(table))
    assert hashes.of(path).sha256 == "0" * 64, "nothing changed, so nothing was read"
    assert hashes.of(path, anew=True) == first == hashes.of(path)

    table[str(path)]["sha256"] = "0" * 64
    kept.write_text(json.dumps(table))
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert hashes.of(path) == first, "another time of change: it was read again"

    write_weights(path, b"\1\2\3\4\5")
    assert hashes.of(path) != first


def test_links_share_what_is_known_of_their_target(tmp_path):
    path = write_weights(tmp_path / "a.safetensors")
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    hashes = Hashes(tmp_path)
    assert hashes.of(link) == hashes.of(path)
    assert list(json.loads((tmp_path / "hashes.json").read_text())) == [str(path)]


@pytest.mark.parametrize("junk", ["", "[]", '{"x": 1}', "{", '{"PATH": {"size": 1}}'])
def test_a_damaged_memory_costs_only_time(tmp_path, junk):
    path = write_weights(tmp_path / "a.safetensors")
    (tmp_path / "hashes.json").write_text(junk.replace("PATH", str(path)))
    assert Hashes(tmp_path).of(path) == digest_file(path)


def test_a_memory_that_cannot_be_written_costs_only_time(tmp_path):
    path = write_weights(tmp_path / "a.safetensors")
    (tmp_path / "file").write_text("")
    assert Hashes(tmp_path / "file").of(path) == digest_file(path)
