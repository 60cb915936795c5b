"""World noise: normal noise for latents that belongs to places of the world, the same on every machine.

A counter-based generator (Philox4x32-10) takes the place as its counter and the seed as its key, so that any window
can be drawn alone and is the crop of any larger one. Only 64-bit integer arithmetic, one look-up, one sum and one
product of float32 are used, without any function of a mathematics library: NumPy, torch on a CPU and torch on a GPU
agree to the bit.
"""

import hashlib
import io
import math
from functools import lru_cache
from importlib import resources
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mapstyle.errors import EngineError

Array = TypeVar("Array")

_TABLE_SHA256 = "0c6e77617147e111744ce9c66df4dac82548ff150a0af115da77bfa7e61a12a5"
_MASK = 0xFFFFFFFF
# Salmon, Moraes, Dror and Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011); constants as in Random123.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
# The sum of two normal numbers has variance 2. A float32, so that NumPy and torch multiply by the same number.
_HALVED = float(np.float32(math.sqrt(0.5)))


def world_noise(
    seed: int, grid_key: int, stream: int, x0: int, y0: int, height: int, width: int, turn: int = 0
) -> NDArray[np.float32]:
    """Draw unit normal noise for a window of latent cells.

    Args:
        seed: taken modulo 2^64.
        grid_key: which grid the cells are of, modulo 2^32; other zooms and posters have noise of their own.
        stream: which of a picture's noises, modulo 2^32: see ``samplers.stream_after``.
        x0: column of the window's left cells, any sign; taken modulo 2^32, as is ``y0``.
        y0: row of its top cells.
        height: rows.
        width: columns.
        turn: columns after which the world is back at its beginning; 0 is never.

    Returns:
        float32[4, height, width].
    """
    xs = np.arange(x0, x0 + width, dtype=np.int64)[None, :]
    ys = np.arange(y0, y0 + height, dtype=np.int64)[:, None]
    low, high = _halves(xs % turn if turn else xs, ys, seed, grid_key, stream)
    table = normal_table()
    noise = (table[np.stack(low)] + table[np.stack(high)]) * np.float32(_HALVED)
    return np.asarray(noise, np.float32)


def world_noise_torch(
    seed: int, grid_key: int, stream: int, x0: int, y0: int, height: int, width: int, turn: int = 0, *, device: Any
) -> Any:
    """Draw :func:`world_noise` on a torch device: a float32 tensor, equal to the bit."""
    import torch

    xs = torch.arange(x0, x0 + width, dtype=torch.int64, device=device)[None, :]
    ys = torch.arange(y0, y0 + height, dtype=torch.int64, device=device)[:, None]
    low, high = _halves(xs % turn if turn else xs, ys, seed, grid_key, stream)
    table = _table_on(torch.device(device))
    return (table[torch.stack(low)] + table[torch.stack(high)]) * _HALVED


def philox4x32(counter: tuple[Array, Array, int, int], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Scramble a counter of four 32-bit words with a key of two: Philox4x32-10.

    Args:
        counter: two int64 arrays of NumPy or torch that broadcast, with values in 0..2^32-1, and two integers.
        key: two integers.

    Returns:
        Four int64 arrays with values in 0..2^32-1.
    """
    a: Any
    b: Any
    c: Any
    d: Any
    a, b, c, d = counter
    k, m = key
    for _ in range(_ROUNDS):
        # Arrays wrap modulo 2^64, and the mask takes away the copies of the sign that the shift brings in.
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = ((right >> 32) & _MASK) ^ b ^ k, right & _MASK, ((left >> 32) & _MASK) ^ d ^ m, left & _MASK
        k, m = (k + _WEYL[0]) & _MASK, (m + _WEYL[1]) & _MASK
    return a, b, c, d


def make_table() -> NDArray[np.float32]:
    """Compute the upper half of :func:`normal_table`, which is what ``normal.npy`` holds: float32[32768].

    The shipped file is used, never this: logarithms differ between machines in their last bits.
    """
    normal = NormalDist()
    upper = [normal.inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)]
    spread = math.sqrt(math.fsum(z * z for z in upper) / len(upper))
    return np.array([z / spread for z in upper], np.float32)


@lru_cache(maxsize=1)
def normal_table() -> NDArray[np.float32]:
    """Load 65536 equally likely values of the normal distribution: float32, rising, symmetric, of unit variance.

    Raises:
        EngineError: the shipped file is not the one this version was made with.
    """
    data = resources.files(__package__).joinpath("normal.npy").read_bytes()
    if hashlib.sha256(data).hexdigest() != _TABLE_SHA256:
        raise EngineError("the noise table normal.npy is damaged; install mapstyle again")
    upper: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    return np.concatenate([-upper[::-1], upper])


@lru_cache(maxsize=16)
def _table_on(device: Any) -> Any:
    import torch

    return torch.from_numpy(normal_table()).to(device)


def _halves(xs: Any, ys: Any, seed: int, grid_key: int, stream: int) -> tuple[list[Any], list[Any]]:
    """Draw the low and the high 16 bits of each channel's word."""
    counter = (xs & _MASK, ys & _MASK, stream & _MASK, grid_key & _MASK)
    words = philox4x32(counter, (seed & _MASK, seed >> 32 & _MASK))
    return [word & 0xFFFF for word in words], [word >> 16 for word in words]
