"""World noise has known answers, is the same in NumPy and torch, and is noise."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.engines.diffusion import noise
from mapstyle.engines.diffusion.noise import make_table, normal_table, philox4x32, world_noise, world_noise_torch
from mapstyle.errors import EngineError

ROOT = Path(__file__).resolve().parents[3]
F = 0xFFFFFFFF
PLACES = st.integers(-(2**33), 2**33)
WORDS = st.integers(0, F)
SEEDS = st.integers(0, 2**64 - 1)


# Random123's kat_vectors for philox4x32-10.
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((F, F, F, F), (F, F), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
@pytest.mark.parametrize("array", [np.array, torch.tensor])
def test_philox_has_the_published_answers(counter, key, answer, array):
    x, y, stream, grid = counter
    words = philox4x32((array([[x]]), array([[y]]), stream, grid), key)
    assert " ".join(f"{w.item():08x}" for w in words) == answer


def test_noise_has_known_answers():
    # Where each number of the address goes; pictures made with other answers could not be made again.
    found = world_noise(0x299F31D0_A4093822, 0x03707344, 0x13198A2E, 0x243F6A88, 0x85A308D3, 1, 1).ravel()
    table = normal_table()
    words = (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    assert found.tolist() == [float((table[w & 0xFFFF] + table[w >> 16]) * np.float32(0.70710677)) for w in words]
    known = [
        "-0x1.902e8c0000000p+1",
        "0x1.548da20000000p-1",
        "0x1.71ca820000000p-2",
        "-0x1.9a8ee40000000p-3",
    ]
    assert [float(v).hex() for v in world_noise(1, 2, 3, 4, 5, 1, 1).ravel()] == known


def test_the_shipped_table_is_the_one_that_is_computed():
    upper = normal_table()[32768:]
    assert np.abs(upper.view(np.int32) - make_table().view(np.int32)).max() <= 1
    # Sensitive: a table that is not of unit variance is further off.
    assert np.abs(upper.view(np.int32) - (upper * np.float32(1.0001)).view(np.int32)).max() > 1


def test_the_table_is_symmetric_rising_and_of_unit_variance():
    table = normal_table()
    assert table.dtype == np.float32
    assert table.shape == (65536,)
    assert np.array_equal(table, -table[::-1])
    assert (np.diff(table) > 0).all()
    assert np.mean(table.astype(np.float64) ** 2) == pytest.approx(1, abs=1e-7)


def test_the_table_is_in_the_wheel():
    from hatchling.builders.wheel import WheelBuilder

    names = {f.distribution_path for f in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert "mapstyle/engines/diffusion/normal.npy" in names


def test_a_damaged_table_is_refused(monkeypatch):
    monkeypatch.setattr(noise, "_TABLE_SHA256", "0" * 64)
    normal_table.cache_clear()
    with pytest.raises(EngineError, match="install mapstyle again"):
        normal_table()
    monkeypatch.undo()
    assert len(normal_table()) == 65536


@given(seed=SEEDS, grid=WORDS, stream=WORDS, x=PLACES, y=PLACES, turn=st.sampled_from([0, 0, 1, 96, 2**19]))
def test_torch_draws_what_numpy_draws(seed, grid, stream, x, y, turn):
    here = world_noise(seed, grid, stream, x, y, 5, 7, turn)
    there = world_noise_torch(seed, grid, stream, x, y, 5, 7, turn, device="cpu")
    assert here.dtype == np.float32
    assert there.dtype == torch.float32
    assert here.shape == tuple(there.shape) == (4, 5, 7)
    assert np.array_equal(here.view(np.int32), there.numpy().view(np.int32))


@pytest.mark.gpu
def test_a_gpu_draws_what_numpy_draws():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    for seed, x, y in ((0, 0, 0), (2**64 - 1, -70, 2**31 - 3), (12345, -(2**33), 987654321)):
        here = world_noise(seed, 14, 3, x, y, 128, 160, 2**19)
        there = world_noise_torch(seed, 14, 3, x, y, 128, 160, 2**19, device="cuda")
        assert np.array_equal(here.view(np.int32), there.cpu().numpy().view(np.int32))


@given(
    x=PLACES, y=PLACES, left=st.integers(0, 9), top=st.integers(0, 9), height=st.integers(1, 9), width=st.integers(1, 9)
)
def test_a_window_is_the_crop_of_a_larger_one(x, y, left, top, height, width):
    large = world_noise(5, 14, 1, x, y, top + height + 2, left + width + 3)
    small = world_noise(5, 14, 1, x + left, y + top, height, width)
    assert np.array_equal(small, large[:, top : top + height, left : left + width])
    assert not np.array_equal(small, world_noise(5, 14, 1, x + left + 1, y + top, height, width))


def test_addresses_below_zero_are_places_of_their_own():
    around = world_noise(5, 14, 1, -8, -8, 16, 16)
    assert len(np.unique(around[0])) > 250
    assert not np.array_equal(around[:, :8, :8], around[:, 8:, 8:])
    assert np.array_equal(around[:, :, :8], world_noise(5, 14, 1, 2**32 - 8, -8, 16, 8))


def test_the_lattice_closes_round_the_world():
    turn = 32 * 2**3
    once = world_noise(5, 3, 1, 0, 0, 4, turn, turn)
    twice = world_noise(5, 3, 1, -10, 0, 4, turn + 20, turn)
    assert np.array_equal(twice[:, :, 10 : turn + 10], once)
    assert np.array_equal(twice[:, :, :10], once[:, :, -10:])
    assert np.array_equal(twice[:, :, -10:], once[:, :, :10])
    assert np.array_equal(once, world_noise(5, 3, 1, 0, 0, 4, turn))
    assert not np.array_equal(twice, world_noise(5, 3, 1, -10, 0, 4, turn + 20))


SIDE = 512
# One standard error of a correlation of SIDE² pairs, times 4.5: chance passes it once in 150 000 times.
CLOSE = 4.5 / SIDE


def drawn(seed=1, grid=14, stream=0, x=-100, y=3000):
    return world_noise(seed, grid, stream, x, y, SIDE, SIDE).astype(np.float64)


def correlation(a, b):
    return float((a * b).mean() / sqrt((a * a).mean() * (b * b).mean()))


def test_noise_is_normal():
    z = drawn()
    count = z.size
    assert abs(z.mean()) < 4.5 / sqrt(count)
    assert abs(z.var() - 1) < 4.5 * sqrt(2 / count)
    assert abs((z**3).mean()) < 4.5 * sqrt(15 / count)
    assert abs((z**4).mean() / z.var() ** 2 - 3) < 4.5 * sqrt(24 / count)
    assert 4.5 < np.abs(z).max() < 6.2
    for channel in z:
        assert abs(channel.var() - 1) < 4.5 * sqrt(2 / channel.size)


def test_neighbours_and_channels_are_independent():
    z = drawn()
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (0, 64), (96, 0), (0, 256)):
        a, b = z[:, dy:, dx:], z[:, : SIDE - dy, : SIDE - dx]
        assert abs(correlation(a, b)) < CLOSE
        # Squares too: loudness must not be shared.
        assert abs(correlation(a**2 - 1, b**2 - 1)) < CLOSE
    for i in range(4):
        for j in range(i):
            assert abs(correlation(z[i], z[j])) < CLOSE
    assert correlation(z, z) == pytest.approx(1), "what the bound would see"


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2}, {"seed": 1 + 2**32}, {"seed": 2**63 + 1}, {"stream": 1}, {"stream": 2}, {"grid": 15},
        {"x": -99}, {"y": 3001},
    ],
    ids=str,
)  # fmt: skip
def test_seeds_streams_grids_and_places_have_noise_of_their_own(other):
    a, b = drawn(), drawn(**other)
    assert abs(correlation(a, b)) < CLOSE
    assert abs(correlation(a, drawn())) == pytest.approx(1)
    assert (a == b).mean() < 1e-4
