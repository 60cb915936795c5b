"""A denoiser that is right by arithmetic: what a perfect network would say of a window, and of nothing else.

The pictures are Gaussian fields with a known covariance, so that the best guess of a picture under noise, the
posterior mean that a diffusion model is trained towards, is a linear filter of the window. Everything else is the
product's own: lattice, weights, phases, samplers, world noise, store. What differs between neighbouring windows is
then only what must differ, since each lacks the other's surroundings; and the faults of real networks are put in by hand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from mapstyle.engines.diffusion.chain import Chain
from mapstyle.engines.diffusion.lattice import LATENT, Lattices, Rect
from mapstyle.engines.diffusion.noise import world_noise
from mapstyle.engines.diffusion.profiles import resolve
from mapstyle.engines.diffusion.samplers import START_STREAM, noise_after, run_phase, stream_after
from mapstyle.engines.diffusion.schedule import Schedule
from mapstyle.engines.diffusion.settings import Diffusion, Lattice, Windows
from mapstyle.engines.diffusion.windows import WindowStore
from mapstyle.frame import Grid

SHEET = Grid.metric("EPSG:32632", 1.0, 50.0)
GUARDED = Windows(window=64, stride=48, guard=4, ramp=8)
"""SDXL's lattice at half its size: what the small profiles use."""
UNGUARDED = Windows(window=56, stride=48, guard=0, ramp=8)
"""The same without its guard."""
WIDE = Windows(window=64, stride=48, guard=0, ramp=16)
"""Windows as large, that use their guard for a wider ramp."""
DECODE = Windows(window=56, stride=32, guard=6, ramp=12)
SIGMAS = (14.615, 7.301, 4.082, 2.487, 1.607, 1.068, 0.694, 0.396, 0.0)
"""SDXL's noise levels at eight trailing timesteps."""
TIMES = (999.0, 874.0, 749.0, 624.0, 499.0, 374.0, 249.0, 124.0)
_LENGTH = 8.0  # latents in which the fields' correlation falls to 1/e
_WORLD = 1024  # latents after which the truth behind a guide repeats


@lru_cache(maxsize=4)
def _axis(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the covariance of ``size`` latents in a row."""
    places = np.arange(size)
    return np.linalg.eigh(np.exp(-np.abs(places[:, None] - places) / _LENGTH))


def best_guess(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Give the mean of all fields that a noisy window may show: [..., size, size], C (C + sigma²)^-1 x.

    The covariance C is that of one axis for the other, a Kronecker product, and so are its eigenvectors.
    """
    values, vectors = _axis(noisy.shape[-1])
    vectors = vectors.astype(noisy.dtype)
    power = np.outer(values, values)
    kept = (power / (power + sigma**2)).astype(noisy.dtype)
    return vectors @ (kept * (vectors.T @ noisy @ vectors)) @ vectors.T


@lru_cache(maxsize=2)
def truth(seed: int) -> np.ndarray:
    """Draw a field of that covariance, near enough: float32[4, side, side], without a border."""
    lags = np.minimum(np.arange(_WORLD), _WORLD - np.arange(_WORLD))
    power = np.maximum(np.fft.fft(np.exp(-lags / _LENGTH)).real, 0)
    white = np.random.default_rng(seed).standard_normal((4, _WORLD, _WORLD))
    shaped = np.fft.rfft2(white) * np.sqrt(np.outer(power, power))[:, : _WORLD // 2 + 1]
    return np.fft.irfft2(shaped).astype(np.float32)


@dataclass
class AnalyticModel:
    """The model of a chain.

    Attributes:
        lattices: of the chain.
        sampler: the product's.
        seed: of the noise.
        noise: of the world, or every window's own, added before windows are fused as stock samplers do.
        spoilt: share of the signal that is lost at the very border of a window, as networks lose it to zero padding.
        guide: signal to noise ratio (of variances) of a guide such as a control image; 0 is none.
        uneven: by how much the decoder's tone differs from window to window, standard deviation, of 1.
    """

    lattices: Lattices
    sampler: str = "euler"
    seed: int = 1
    noise_of: Literal["world", "window"] = "world"
    spoilt: float = 0.0
    guide: float = 0.0
    uneven: float = 0.0
    batch: tuple[int, int] = (2, 2)

    def __post_init__(self) -> None:
        self.schedule = Schedule(TIMES, SIGMAS)
        self.identity = f"analytic {self.sampler} {self.seed} {self.noise_of} {self.spoilt} {self.guide}"
        size = self.lattices.phases[0].windows.window
        inwards = np.minimum(np.arange(size), np.arange(size)[::-1])
        fault = np.minimum.outer(inwards, inwards)
        self.keeps = (1 - self.spoilt * np.exp(-fault / 1.5)).astype(np.float32)

    def start(self, rects, pictures, careful=False):
        size = self.lattices.phases[0].windows.window
        out = np.zeros((len(rects), 4, size, size), np.float32)
        for slot, rect in enumerate(rects):
            if rect is not None:
                out[slot] = np.float32(SIGMAS[0]) * self._noise(rect, START_STREAM)
        return out

    def run(self, phase, latents, rects: Sequence[Rect | None], hints, careful=False):
        steps = self.lattices.plan.phases[phase]

        def fresh(stream: int) -> np.ndarray:
            blank = np.zeros(latents.shape[1:], np.float32)
            return np.stack([blank if rect is None else self._noise(rect, stream) for rect in rects])

        guides = None
        if self.guide:
            guides = np.stack([np.zeros(latents.shape[1:], np.float32) if r is None else self._guide(r) for r in rects])

        def denoise(x: np.ndarray, step: int) -> np.ndarray:
            sigma = SIGMAS[step]
            seen, noise = x, sigma
            if guides is not None:
                # Two looks at one field are one look with the sum of their certainties.
                certain, hinted = sigma**-2, self.guide
                seen = (x * np.float32(certain) + guides * np.float32(hinted)) / np.float32(certain + hinted)
                noise = (certain + hinted) ** -0.5
            return (x - best_guess(seen, noise) * self.keeps) / np.float32(sigma)

        out = run_phase(self.sampler, self.schedule, steps, latents, denoise, fresh)
        amount = noise_after(self.sampler, self.schedule, steps[-1])
        if amount and self.noise_of == "window":
            out = out + np.float32(amount) * fresh(stream_after(steps[-1]))
        return out

    def noise(self, phase, rect):
        steps = self.lattices.plan.phases[phase]
        amount = noise_after(self.sampler, self.schedule, steps[-1])
        if not amount or self.noise_of == "window":
            return None
        return np.float32(amount) * self._noise(rect, stream_after(steps[-1]))

    def decode(self, latents, careful=False):
        """Enlarge; the tone depends on the whole window, as group normalisation makes it."""
        grown = cv2.resize(np.moveaxis(latents[:3], 0, 2), None, fx=LATENT, fy=LATENT, interpolation=cv2.INTER_CUBIC)
        tone = math.copysign(self.uneven, latents.mean())
        return np.moveaxis(np.clip(0.5 + 0.12 * grown + tone, 0, 1), 2, 0).astype(np.float32)

    def step_down(self):
        return ""

    def _noise(self, rect: Rect, stream: int) -> np.ndarray:
        seed = self.seed if self.noise_of == "world" else hash((self.seed, rect.x, rect.y))
        return world_noise(seed, 7, stream, rect.x, rect.y, rect.height, rect.width)

    def _guide(self, rect: Rect) -> np.ndarray:
        rows = np.arange(rect.y, rect.y + rect.height) % _WORLD
        columns = np.arange(rect.x, rect.x + rect.width) % _WORLD
        blurred = world_noise(self.seed, 8, 0, rect.x, rect.y, rect.height, rect.width)
        return truth(self.seed)[:, rows[:, None], columns] + blurred / np.float32(math.sqrt(self.guide))


class NoSupply:
    """Nothing is drawn for the windows."""

    def picture(self, rect):
        return None

    def hints(self, rect):
        return ()


def analytic_chain(windows: Windows = GUARDED, phases: int = 6, decode: Windows = DECODE, **model) -> Chain:
    """Make a chain of the product about the analytic model."""
    lattice = Lattice(paint=windows, decode=decode)
    settings = Diffusion(prompt="x", strength=1, steps=8, sampler="euler", phases=phases, lattice=lattice)
    lattices = Lattices(resolve(settings), SHEET)
    return Chain(lattices, AnalyticModel(lattices, **model), WindowStore(None, print), NoSupply(), workers=1)
