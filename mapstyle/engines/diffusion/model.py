"""SDXL as the chain sees it: windows in, windows out, on whatever device there is."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mapstyle.engines.diffusion.batches import Latents, OutOfMemoryError, Picture
from mapstyle.engines.diffusion.denoiser import Denoiser, Hints
from mapstyle.engines.diffusion.fit import Fit
from mapstyle.engines.diffusion.lattice import LATENT, Rect, encode_margin
from mapstyle.engines.diffusion.loading import Loaded
from mapstyle.engines.diffusion.noise import world_noise, world_noise_torch
from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.engines.diffusion.samplers import START_STREAM, noise_after, run_phase, stream_after
from mapstyle.fingerprint import fingerprint, stable_id
from mapstyle.frame import Grid

if TYPE_CHECKING:
    from torch import Tensor


_NO_ROOM = re.compile(r"out of memory|ALLOC_FAILED|can't allocate memory", re.IGNORECASE)


class SdxlModel:
    """One seed on one grid; the networks are shared with others."""

    def __init__(self, loaded: Loaded, plan: Plan, identity: Callable[[Fit], str], grid: Grid, seed: int) -> None:
        """Take what was loaded.

        Args:
            loaded: the networks.
            plan: what is run.
            identity: digest of all that decides values with a way of working.
            grid: where the windows are.
            seed: the map's.
        """
        self._loaded = loaded
        self._plan = plan
        self._identity = identity
        self._seed = seed
        self._turn = grid.turn * grid.pixel_ratio // LATENT
        place = (grid.crs, grid.resolution, grid.origin_x, grid.origin_y, grid.pixel_ratio)
        self._grid_key = stable_id(repr(place)) & 0xFFFFFFFF
        self._place = fingerprint(place, seed)

    @property
    def identity(self) -> str:
        """See :class:`WindowModel`."""
        return fingerprint(self._identity(self._loaded.fit), self._place)

    @property
    def batch(self) -> tuple[int, int]:
        """See :class:`WindowModel`."""
        return self._loaded.fit.batch

    def start(self, rects: Sequence[Rect | None], pictures: Sequence[Picture | None], careful: bool = False) -> Latents:
        """Encode each picture alone, so that nothing depends on companions, and add the first noise."""
        size = self._plan.lattice.paint.window
        out = np.zeros((len(rects), 4, size, size), np.float32)
        sigma = np.float32(self._loaded.schedule.sigmas[0])
        for slot, (rect, picture) in enumerate(zip(rects, pictures, strict=True)):
            if rect is None:
                continue
            if picture is not None:
                out[slot] = self._encode(picture, careful)
            out[slot] += sigma * self._noise(START_STREAM, rect)
        return out

    def run(
        self, phase: int, latents: Latents, rects: Sequence[Rect | None], hints: Sequence[tuple[Picture, ...] | None],
        careful: bool = False,
    ) -> Latents:  # fmt: skip
        """See :class:`WindowModel`."""
        import torch

        loaded = self._loaded
        with self._memory(), loaded.at_work("paint"), loaded.in_float32(careful) as denoiser, torch.inference_mode():
            x = torch.from_numpy(latents).to(loaded.fit.device, loaded.state)

            def noise(stream: int) -> "Tensor":
                fields = [torch.zeros_like(x[0]) if r is None else self._noise_there(stream, r).to(x) for r in rects]
                return torch.stack(fields)

            guide = self._guides(denoiser, hints)
            done = run_phase(
                self._plan.sampler, loaded.schedule, self._plan.phases[phase], x,
                lambda state, step: denoiser(state, step, guide), noise,
            )  # fmt: skip
            values: Latents = done.float().cpu().numpy()
        return values

    def noise(self, phase: int, rect: Rect) -> Latents | None:
        """See :class:`WindowModel`."""
        step = self._plan.phases[phase][-1]
        amount = noise_after(self._plan.sampler, self._loaded.schedule, step)
        return np.float32(amount) * self._noise(stream_after(step), rect) if amount else None

    def decode(self, latents: Latents, careful: bool = False) -> NDArray[np.float16]:
        """See :class:`WindowModel`."""
        import torch

        loaded = self._loaded
        with self._memory(), loaded.at_work("decode"), loaded.vae_in_float32(careful) as vae, torch.inference_mode():
            z = torch.from_numpy(latents)[None].to(loaded.fit.device, vae.dtype) / loaded.vae_scale
            picture = vae.decode(z, return_dict=False)[0][0].float()
            # float16 tells 4096 levels between 0 and 1, and is half as much to bring home and to keep.
            return (picture / 2 + 0.5).clamp(0, 1).half().cpu().numpy()

    def step_down(self) -> str:
        """See :class:`WindowModel`."""
        smaller = self._loaded.fit.smaller()
        if smaller is None:
            return ""
        fit, told = smaller
        self._loaded.refit(fit)
        return told

    def _encode(self, picture: Picture, careful: bool) -> Latents:
        import torch

        loaded = self._loaded
        with self._memory(), loaded.at_work("encode"), loaded.vae_in_float32(careful) as vae, torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, 2, 0)))[None]
            pixels = pixels.to(loaded.fit.device).to(vae.dtype) / 127.5 - 1
            code = vae.encode(pixels)
            # The mode of the posterior: a sample would be noise that belongs to no place.
            mean = code.latent_dist.mode() if hasattr(code, "latent_dist") else code.latents
            m = encode_margin(self._plan.lattice.paint)
            inner = slice(m, mean.shape[-1] - m)
            return (mean[0, :, inner, inner].float() * loaded.vae_scale).cpu().numpy()

    def _guides(self, denoiser: Denoiser, hints: Sequence[tuple[Picture, ...] | None]) -> Hints:
        """Bring a batch's control images to the device; what nets make of them serves all steps of a phase."""
        import torch

        size = self._plan.lattice.paint.window * LATENT
        empty = np.zeros((size, size, 3), np.uint8)
        images = {}
        for i in sorted(denoiser.used):
            parts = [torch.from_numpy(empty if h is None else h[i]) for h in hints]
            stack = torch.stack([part.to(self._loaded.fit.device) for part in parts])
            images[i] = stack.permute(0, 3, 1, 2).contiguous()
        return denoiser.hints(images)

    def _noise(self, stream: int, rect: Rect) -> Latents:
        return world_noise(self._seed, self._grid_key, stream, rect.x, rect.y, rect.height, rect.width, self._turn)

    def _noise_there(self, stream: int, rect: Rect) -> "Tensor":
        place = (rect.x, rect.y, rect.height, rect.width, self._turn)
        return world_noise_torch(self._seed, self._grid_key, stream, *place, device=self._loaded.fit.device)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """Turn torch's word for "out of memory" into the chain's."""
        import torch

        try:
            yield
        except (torch.OutOfMemoryError, RuntimeError) as error:
            # Apple's, cuBLAS', cuDNN's and the CPU's own allocators say it in other words.
            if not isinstance(error, torch.OutOfMemoryError) and not _NO_ROOM.search(str(error)):
                raise
            _clear(error)
            raise OutOfMemoryError from None


def _clear(error: Any) -> None:
    """Let go of what a failed evaluation held, and give it back to the device."""
    import gc

    import torch

    error.__traceback__ = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
