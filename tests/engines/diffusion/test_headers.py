"""Headers of safetensors files: read without torch, and nothing in them is believed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.engines.diffusion import headers
from mapstyle.engines.diffusion.headers import TensorInfo, check_fits, read_header, weights_of
from mapstyle.errors import EngineError

TWO = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [5], "data_offsets": [24, 34]},
}


def write(path: Path, table, body: bytes | int = 34, length: int | None = None) -> Path:
    """Write a file as the format has it, or one that breaks it."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    body = bytes(body) if isinstance(body, int) else body
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + body)
    return path


def refusal(path: Path) -> str:
    """Give the one line with which a file is refused."""
    with pytest.raises(EngineError) as error:
        read_header(path)
    told = str(error.value)
    assert "\n" not in told
    assert len(told) < 500
    assert str(path.parent) in told
    return told


def test_names_shapes_types_and_metadata_are_read(tmp_path):
    path = write(tmp_path / "x.safetensors", {"__metadata__": {"title": "Straße"}, **TWO})
    header = read_header(path)
    assert header.tensors == {"a": TensorInfo("F32", (2, 3)), "b": TensorInfo("BF16", (5,))}
    assert header.metadata == {"title": "Straße"}
    assert header.size == path.stat().st_size
    assert header.paths == (path,)
    with pytest.raises(TypeError):
        header.tensors["c"] = TensorInfo("F32", ())


def test_what_safetensors_writes_is_read(tmp_path):
    import torch
    from safetensors.torch import save_file

    tensors = {"half": torch.zeros(3, dtype=torch.float16), "none": torch.zeros(0, 4), "one": torch.zeros(())}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    header = read_header(tmp_path / "x.safetensors")
    assert {name: info.shape for name, info in header.tensors.items()} == {"half": (3,), "none": (0, 4), "one": ()}
    assert header.tensors["half"].dtype == "F16"
    assert header.metadata == {"format": "pt"}


@pytest.mark.parametrize("name", ["x.bin", "x.ckpt", "x.pt", "x.pth", "x.PKL"])
def test_pickles_are_refused_unread(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x04")
    told = refusal(path)
    assert "can run any code" in told
    assert "convert" in told


def test_a_folder_of_pickles_is_refused(tmp_path):
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(EngineError, match=r"only the pickle file diffusion_pytorch_model\.bin"):
        read_header(tmp_path)


NESTED = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
LIES = {
    "no file": None,
    "empty": b"",
    "seven bytes": b"1234567",
    "html": b"<!DOCTYPE html><html><body>404</body></html>" * 9,
    "header of 2**63": (2**63).to_bytes(8, "little") + b"{}",
    "header over 100 MB": (headers.MAX_HEADER + 1).to_bytes(8, "little") + b"{}",
    "header past the end": (1000).to_bytes(8, "little") + b"{}",
}
TABLES = {
    "no JSON": b"{'a': 1}",
    "a list": b"[1, 2]",
    "not UTF-8": b'{"\xff": 1}',
    "nested without end": NESTED,
    "a name twice": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "metadata of numbers": {"__metadata__": {"a": 1}, **TWO},
    "an entry that is none": {"a": 3},
    "an unknown type": {"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 34]}},
    "a type that is a list": {"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
    "a negative size": {"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}},
    "a size that is true": {"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}},
    "a size that is half": {"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}},
    "a size beyond all": {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}},
    "offsets backwards": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [34, 30]}},
    "three offsets": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}},
    "fewer bytes than the shape": {**TWO, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]}},
    "a gap": {**TWO, "a": {"dtype": "F32", "shape": [5], "data_offsets": [4, 24]}},
    "an overlap": {**TWO, "c": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_safetensors_file_is_refused(tmp_path, lie):
    path = tmp_path / "x.safetensors"
    if LIES[lie] is not None:
        path.write_bytes(LIES[lie])
    refusal(path)


@pytest.mark.parametrize("lie", TABLES)
def test_headers_that_lie_are_refused(tmp_path, lie):
    refusal(write(tmp_path / "x.safetensors", TABLES[lie]))


def test_a_hostile_name_does_not_break_the_line(tmp_path):
    name = "a\n\x1b[31m" + "b" * 1000
    path = write(tmp_path / "x.safetensors", {name: {"dtype": "Q4", "shape": [1], "data_offsets": [0, 34]}})
    assert "\x1b" not in refusal(path)


@pytest.mark.parametrize("cut", [1, 33, 34, 60])
def test_truncated_files_are_refused(tmp_path, cut):
    path = write(tmp_path / "x.safetensors", TWO)
    os.truncate(path, path.stat().st_size - cut)
    assert "cut short" in refusal(path)


def test_bytes_too_many_are_refused(tmp_path):
    assert "too many" in refusal(write(tmp_path / "x.safetensors", TWO, body=35))


@given(flips=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damage_ends_in_a_header_or_one_line(tmp_path_factory, flips):
    path = write(tmp_path_factory.mktemp("damage") / "x.safetensors", TWO)
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        told = ""
        header = read_header(path)
    except EngineError as error:
        told = str(error)
    if told:
        assert "\n" not in told
    else:
        assert all(info.dtype in headers.BITS for info in header.tensors.values())


def shards(folder: Path, places: dict[str, str], name: str = "model.safetensors.index.json") -> Path:
    """Write two shards and an index that says where its tensors are."""
    write(folder / "model-1.safetensors", {"a": TWO["a"]}, 24)
    write(folder / "model-2.safetensors", {"b": {**TWO["b"], "data_offsets": [0, 10]}}, 10)
    (folder / name).write_text(json.dumps({"weight_map": places}))
    return folder / name


def test_shards_are_read_as_one(tmp_path):
    index = shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    for path in (index, tmp_path):
        header = read_header(path)
        assert header.tensors == {"a": TensorInfo("F32", (2, 3)), "b": TensorInfo("BF16", (5,))}
        assert [path.name for path in header.paths] == ["model-1.safetensors", "model-2.safetensors"]
        assert header.size == sum(path.stat().st_size for path in header.paths)


def test_a_file_beside_its_shards_is_refused(tmp_path):
    shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    write(tmp_path / "model.safetensors", TWO)
    with pytest.raises(EngineError, match="both"):
        read_header(tmp_path)


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"a": "model-1.safetensors", "b": "model-3.safetensors"},
        {"a": "model-1.safetensors", "c": "model-2.safetensors"},
        {"a": "../model-1.safetensors"},
        {"a": "/etc/passwd"},
        {"a": "model-1.bin"},
        {"a": 3},
    ],
)
def test_an_index_that_lies_is_refused(tmp_path, places):
    refusal(shards(tmp_path, places))


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    index = shards(tmp_path, {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    write(tmp_path / "model-2.safetensors", TWO)
    assert "in two shards" in refusal(index)


def test_half_precision_is_taken_when_it_is_all_there_is(tmp_path):
    with pytest.raises(EngineError, match="incomplete"):
        weights_of(tmp_path)
    write(tmp_path / "diffusion_pytorch_model.fp16.safetensors", TWO)
    assert weights_of(tmp_path).name == "diffusion_pytorch_model.fp16.safetensors"
    write(tmp_path / "diffusion_pytorch_model.safetensors", TWO)
    assert weights_of(tmp_path).name == "diffusion_pytorch_model.safetensors"


EXPECTED = {"a": (2, 3), "b": (5,)}


def test_weights_that_fill_a_model_pass():
    found = {"a": TensorInfo("F32", (2, 3)), "b": TensorInfo("F16", (5,))}
    check_fits(EXPECTED, found, "x")
    check_fits(
        EXPECTED, {**found, "ema.a": TensorInfo("F32", (2, 3))}, "x", ignore=lambda name: name.startswith("ema.")
    )
    check_fits(EXPECTED, {**found, "c": TensorInfo("F32", (1,))}, "x", spare=True)
    check_fits(EXPECTED, {"a": found["a"]}, "x", ignore=lambda name: name == "b")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": TensorInfo("F32", (2, 3))}, "1 of 2 tensors are missing, such as b"),
        ({"a": TensorInfo("F32", (3, 2)), "b": TensorInfo("F32", (5,))}, "such as a, 3x2 instead of 2x3"),
        ({"a": TensorInfo("F8_E4M3", (2, 3)), "b": TensorInfo("F32", (5,))}, "quantised, such as a (F8_E4M3)"),
        (
            {"a": TensorInfo("F32", (2, 3)), "b": TensorInfo("F32", (5,)), "c": TensorInfo("F32", ())},
            "no place in the model",
        ),
    ],
)
def test_weights_that_do_not_fill_it_are_refused_by_name(found, told):
    with pytest.raises(EngineError) as error:
        check_fits(EXPECTED, found, "x.safetensors (unet)")
    assert str(error.value).startswith("x.safetensors (unet): ")
    assert told in str(error.value)


def test_no_torch_is_needed():
    script = "import sys; from mapstyle.engines.diffusion import headers; assert not {'torch', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
