"""Who paints: the engine that a style, a machine and a person's wish come down to."""

from enum import StrEnum
from pathlib import Path

from mapstyle.engines.base import EngineSpec
from mapstyle.engines.diffusion.fit import choose as choose_fit
from mapstyle.engines.diffusion.fit import look
from mapstyle.engines.diffusion.profiles import resolve
from mapstyle.engines.diffusion.registry import MissingWeightsError, Registry
from mapstyle.engines.diffusion.spec import DiffusionSpec, find_parts
from mapstyle.engines.painter import PainterSpec
from mapstyle.errors import EngineError
from mapstyle.style import Style


class EngineChoice(StrEnum):
    """Who paints."""

    AUTO = "auto"
    PAINTER = "painter"
    SDXL = "sdxl"


def choose_engine(
    style: Style, choice: EngineChoice, device: str = "auto", cache: Path | None = None
) -> tuple[EngineSpec, str]:
    """Settle who paints, and say why.

    Args:
        style: the look.
        choice: as asked; AUTO is SDXL when a CUDA device and the style's weights are here, else the painter.
        device: what a model runs on; ``auto`` looks for one.
        cache: folder in which a model keeps finished windows.

    Raises:
        EngineError: SDXL was asked for, and something that it needs is not here.
        StyleError: settings of the style's diffusion section that do not go together.
    """
    painter = PainterSpec(style.painter)
    if choice is EngineChoice.PAINTER:
        return painter, "painter (as asked)"
    if choice is EngineChoice.SDXL:
        return _sdxl(style, painter, device, cache)
    if style.diffusion is None:
        return painter, "painter (this style has no diffusion section)"
    try:
        spec, why = _sdxl(style, painter, device, cache)
    except MissingWeightsError:
        return painter, "painter (it needs no GPU and no download; the weights for sdxl are not all here)"
    except EngineError as error:
        return painter, f"painter (sdxl cannot run: {error})"
    if not spec.fit.device.startswith("cuda"):
        return painter, "painter (no CUDA device; --engine sdxl runs without one, slowly)"
    return spec, why


def _sdxl(style: Style, painter: PainterSpec, device: str, cache: Path | None) -> tuple[DiffusionSpec, str]:
    if style.diffusion is None:
        raise EngineError(f"the style {style.name} has no [diffusion] section; add one, or let the painter paint")
    plan = resolve(style.diffusion)
    parts = find_parts(style.diffusion, style.words, style.folder, Registry())
    nets = sum(part.role == "controlnet" for part in parts)
    fit = choose_fit(look(device), plan, nets, style.diffusion.batch)
    windows = None if cache is None else cache / "windows"
    spec = DiffusionSpec(style.diffusion, plan, painter, parts, fit, windows, style.folder)
    slow = "; without a GPU this takes minutes a picture" if fit.device == "cpu" else ""
    compiled = ", compiled" if style.diffusion.compile else ""
    return spec, (
        f"sdxl ({fit.describe}{compiled}; {style.diffusion.profile}: {plan.executed} of {plan.steps} steps, "
        f"windows fused {_times(len(plan.phases))}{slow})"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
