"""Weights that depend on a parameter's name alone, so that they are the same everywhere and none of them is zero."""

from typing import Any
from zlib import crc32

import numpy as np

BIAS = 0.1  # half-width of biases, and of norm weights around 1
HINT = 3.0  # gain, in variance, of the hint encoders, whose signal would otherwise die away with depth


def uniform(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Draw float64 values in [-1, 1) from raw Philox words, which no version of NumPy or torch changes."""
    raw = np.random.Philox(key=[seed, crc32(name.encode())]).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def fill(net: Any, seed: int = 0) -> Any:
    """Fill every parameter: matrices and kernels with standard deviation 1/sqrt(fan-in), the rest as the constants say.

    Default weights would make tests vacuous: zero convolutions hide the control image (see ``HINT``).
    """
    import torch

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            values = uniform(name, tuple(parameter.shape), seed) * _width(name, parameter)
            if name.endswith("weight") and parameter.ndim == 1:
                values += 1.0
            parameter.copy_(torch.from_numpy(values))
    return net.eval()


def _width(name: str, parameter: Any) -> float:
    if parameter.ndim < 2:
        return BIAS
    if "token_embedding" in name or "position_embedding" in name or "task_embedding" in name:
        return 3.0**0.5
    gain = HINT if "cond_embedding" in name else 1.0
    return (gain * 3.0 * parameter.shape[0] / parameter.numel()) ** 0.5
