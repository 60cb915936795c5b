"""Small real models for the tests of the diffusion engine; see tests/small."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from pathlib import Path

import pytest
from small.bad_loras import write_bad
from small.loras import Made, write_good
from small.operators import declare_missing_operators
from small.zoo import Nets, Zoo, load_nets, make_hub_layout, make_zoo


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Let torch count with one thread: the number of threads changes bits."""
    import torch

    torch.set_num_threads(1)
    declare_missing_operators()


@pytest.fixture(autouse=True)
def _no_gradients(_one_thread):
    import torch

    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> Zoo:
    """All small models on disk."""
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def hub_layout(zoo, tmp_path_factory) -> Path:
    """The base as published folders are, with its fp16 variant beside it."""
    return make_hub_layout(tmp_path_factory.mktemp("hub") / "sdxl", zoo.sdxl)


@pytest.fixture(scope="session")
def hub_layout_half(zoo, tmp_path_factory) -> Path:
    """The base as a download of the fp16 variant alone leaves it."""
    return make_hub_layout(tmp_path_factory.mktemp("half") / "sdxl", zoo.sdxl, half_only=True)


@pytest.fixture(scope="session")
def nets(zoo) -> Nets:
    """The named networks in float32; tests must not change them."""
    return load_nets(zoo)


@pytest.fixture(scope="session")
def nets64(zoo) -> Nets:
    """The named networks in float64; tests must not change them."""
    return load_nets(zoo, dtype="float64")


@pytest.fixture(scope="session")
def quick(zoo) -> Nets:
    """The quick networks in float32; tests must not change them."""
    return load_nets(zoo, quick=True)


@pytest.fixture(scope="session")
def quick64(zoo) -> Nets:
    """The quick networks in float64; tests must not change them."""
    return load_nets(zoo, quick=True, dtype="float64")


@pytest.fixture(scope="session")
def made_loras(tmp_path_factory) -> dict[str, Made]:
    """LoRAs for the named networks, with what each adds to the weights."""
    return write_good(tmp_path_factory.mktemp("loras"))


@pytest.fixture(scope="session")
def loras(made_loras) -> dict[str, Path]:
    """Files of LoRAs for the named networks."""
    return {name: made.path for name, made in made_loras.items()}


@pytest.fixture(scope="session")
def bad_loras(zoo, tmp_path_factory) -> dict[str, Path]:
    """Files that no SDXL LoRA is in, or none that can be loaded."""
    return write_bad(tmp_path_factory.mktemp("bad-loras"), zoo)
