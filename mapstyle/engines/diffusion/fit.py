"""Fit the work to the machine: device, number format, size of batches, chosen from what is free."""

import os
from dataclasses import dataclass, replace

from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.errors import EngineError

GIB = 1 << 30
# Sizes of SDXL in float16, GiB: weights from the architecture's parameter counts (UNet 2.567 G, union net 1.254 G);
# the room that one window of 128 latents takes in the UNet, and one of 176 latents in the decoder, are estimates
# that out-of-memory handling backs up.
_UNET, _NET, _VAE = 4.78, 2.34, 0.16
_WINDOW, _DECODE, _TINY_DECODE = 1.0, 4.5, 0.8
_SPARE = 0.6
_CURE = "pip install 'mapstyle[sdxl]'"
_BATCHES = ((2, 2), (2, 1), (1, 1))


@dataclass(frozen=True)
class Machine:
    """A device that a model can run on.

    Attributes:
        device: torch's name: ``cuda:0``, ``mps`` or ``cpu``.
        name: what people call it.
        free: bytes of its memory that nobody uses, or 0 where that is not known.
        total: bytes of its memory, or 0.
        build: versions and instruction sets that decide the last bits.
    """

    device: str
    name: str
    free: int
    total: int = 0
    build: str = ""


@dataclass(frozen=True)
class Fit:
    """How the engine runs on a machine.

    Attributes:
        device: torch's name.
        name: what people call it.
        dtype: of the networks.
        batch: columns and rows of windows in a batch.
        offload: whether networks wait in main memory while others work.
        threads: of torch on the CPU; they decide the last bits there.
        build: see :class:`Machine`.
    """

    device: str = "cpu"
    name: str = "CPU"
    dtype: str = "float32"
    batch: tuple[int, int] = (1, 1)
    offload: bool = False
    threads: int = 1
    build: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What of it decides bits: the kind of device, formats and shapes; which of several equal cards does not."""
        kind = self.device.partition(":")[0]
        return kind, self.name, self.build, self.dtype, self.batch, self.threads if kind == "cpu" else 0

    @property
    def describe(self) -> str:
        """Say it in a few words."""
        count = self.batch[0] * self.batch[1]
        parts = [self.name, self.dtype, f"{count} windows at a time" if count > 1 else "one window at a time"]
        if self.offload:
            parts.append("networks take turns in its memory")
        return ", ".join(parts)

    def smaller(self) -> "tuple[Fit, str] | None":
        """Give what needs less memory, and how; None when there is nothing left to give up."""
        if self.batch != (1, 1):
            return replace(self, batch=(1, 1)), "one window at a time from here on"
        if not self.offload and self.device != "cpu":
            return replace(self, offload=True), "networks take turns in its memory from here on"
        return None


def look(device: str = "auto") -> Machine:
    """Find the device: as asked, else a CUDA device, else Apple's, else the CPU.

    Raises:
        EngineError: torch is not installed, or the device is not there.
    """
    try:
        import torch
    except ImportError:
        raise EngineError(f"diffusion needs torch, which is not installed: {_CURE}") from None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.partition(":")[0]
    if kind == "cuda":
        index = int(device.partition(":")[2] or 0)
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            raise EngineError(
                f"--device {device}: torch can use {there} CUDA devices here; try --device cpu, or the painter"
            )
        free, total = torch.cuda.mem_get_info(index)
        build = f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
        return Machine(f"cuda:{index}", torch.cuda.get_device_name(index), free, total, build)
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise EngineError("--device mps: torch cannot use Apple's GPU here; try --device cpu, or the painter")
        return Machine("mps", "Apple GPU", 0, 0, f"torch {torch.__version__}")
    if device != "cpu":
        raise EngineError(f"--device {device}: no such device; write cuda, cuda:1, mps, cpu or auto")
    return Machine("cpu", "CPU", 0, 0, f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")


def check_libraries() -> None:
    """Import what networks are made of, which takes seconds.

    Raises:
        EngineError: a library is missing, or is broken by another one; says which.
    """
    try:
        from diffusers import UNet2DConditionModel  # noqa: F401
        from transformers import CLIPTextModel  # noqa: F401
    except Exception as error:  # a library that another one's version breaks may raise anything
        root: BaseException = error
        while (deeper := root.__cause__ or root.__context__) is not None:
            root = deeper
        if isinstance(root, ImportError) and root.name in ("diffusers", "transformers", "accelerate", "safetensors"):
            raise EngineError(f"diffusion needs {root.name}, which is not installed: {_CURE}") from None
        told = (str(root).strip().splitlines() or [type(root).__name__])[-1][:160]
        other = "torchvision" in told
        cure = "pip uninstall torchvision, or install the one made for this torch" if other else _CURE
        raise EngineError(f"diffusion cannot import its libraries ({told}): {cure}") from None


def choose(machine: Machine, plan: Plan, nets: int, batch: int | None = None) -> Fit:
    """Choose the fastest way that fits into a machine's memory.

    The shape of batches, on which bits depend, goes by all of a card's memory, so that it is the same tomorrow; what
    is free today decides whether networks take turns, and only then whether batches are smaller after all.

    Args:
        machine: where.
        plan: what is run.
        nets: how many ControlNets are loaded.
        batch: windows in a batch, when that is not left to what fits.

    Raises:
        EngineError: not even the smallest way fits.
    """
    shapes = [shape for shape in _BATCHES if batch in (None, shape[0] * shape[1])]
    fit = Fit(machine.device, machine.name, threads=_threads(), build=machine.build)
    if machine.device in ("cpu", "mps"):
        dtype = "float32" if machine.device == "cpu" else "float16"
        return replace(fit, dtype=dtype, batch=shapes[0] if batch else (1, 1))
    free = machine.free / GIB - _SPARE
    total = max(machine.total, machine.free) / GIB - _SPARE
    for shape in shapes:
        whole, turns = (_need(plan, nets, shape[0] * shape[1], offload) for offload in (False, True))
        if whole > total and shape != shapes[-1]:
            continue
        if turns <= free:
            return replace(fit, dtype="float16", batch=shape, offload=whole > free)
    least = _need(plan, nets, shapes[-1][0] * shapes[-1][1], True) + _SPARE
    raise EngineError(
        f"{machine.name} has {machine.free / GIB:.1f} GB of free memory, and this style needs {least:.1f}: "
        f"close what else uses it, leave out a net, take --set diffusion.profile=draft, or let the painter paint"
    )


def _need(plan: Plan, nets: int, windows: int, offload: bool) -> float:
    """Estimate the GiB that a way of working takes at its peak."""
    samples = windows * (2 if plan.cfg_steps else 1)
    area = (plan.lattice.paint.window / 128) ** 2
    weights = _UNET + nets * _NET
    paint = weights + samples * _WINDOW * area
    decoded = (_TINY_DECODE if plan.tiny else _DECODE) * (plan.lattice.decode.window / 176) ** 2
    return max(paint, _VAE + decoded) if offload else max(paint + _VAE, weights + _VAE + decoded)


def _threads() -> int:
    """Give the number of threads that torch is told to use: as OMP_NUM_THREADS says, else one a core."""
    if (asked := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(asked))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alike(fit: Fit) -> tuple[str, ...]:
    """Give the numbers, as ``CUDA_VISIBLE_DEVICES`` counts them, of all CUDA devices named as the one that fits."""
    if not fit.device.startswith("cuda"):
        return ()
    import torch

    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    names = visible if len(visible) == count else [str(i) for i in range(count)]
    return tuple(names[i] for i in range(count) if torch.cuda.get_device_name(i) == fit.name)
