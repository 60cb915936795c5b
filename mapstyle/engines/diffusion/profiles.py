"""Profiles: steps, sampler and guidance that belong together, and the plan a style comes to."""

from collections.abc import Mapping
from dataclasses import dataclass

from mapstyle.engines.diffusion.settings import Base, Diffusion, Lattice, Lora, Windows
from mapstyle.errors import StyleError, nearest

_FAST_LATTICE = Lattice(paint=Windows(window=128, stride=112, guard=4, ramp=8))
_SMALL_LATTICE = Lattice(
    paint=Windows(window=64, stride=48, guard=4, ramp=8), decode=Windows(window=112, stride=64, guard=12, ramp=24)
)


@dataclass(frozen=True)
class Profile:
    """One way of sampling.

    Attributes:
        title: what it is for.
        sampler: one of ``settings.SAMPLERS``.
        spacing: how timesteps are laid out (diffusers' ``timestep_spacing``).
        steps: of the full schedule.
        cfg: guidance scale; 1 is none.
        phases: how often windows are fused; no more than there are steps to run.
        cfg_end: share of the executed steps after which guidance is off.
        fixed: what the weights were distilled for and may not be changed: names of settings.
        reason: why they may not.
        cfg_range: guidance scales that make sense.
        loras: what makes a base fast.
        base: a base of its own, instead of the style's.
        tiny: whether the tiny VAE is used.
        lattice: instead of the style's.
    """

    title: str
    sampler: str
    spacing: str
    steps: int
    cfg: float
    phases: int
    cfg_end: float = 0.8
    fixed: tuple[str, ...] = ()
    reason: str = ""
    cfg_range: tuple[float, float] = (1.0, 30.0)
    loras: tuple[Lora, ...] = ()
    base: Base | None = None
    tiny: bool = False
    lattice: Lattice | None = None


def _lightning(steps: int, phases: int) -> Profile:
    file = f"sdxl_lightning_{steps}step_lora.safetensors"
    return Profile(
        f"SDXL-Lightning, {steps} steps", "euler", "trailing", steps, 1.0, phases,
        fixed=("steps", "sampler", "cfg"), reason=f"its LoRA was distilled for {steps} Euler steps without guidance",
        loras=(Lora(source="ByteDance/SDXL-Lightning", file=file, weight=1.0, licence="openrail++"),),
    )  # fmt: skip


def _hyper(steps: int, phases: int) -> Profile:
    # DDIM with eta 0, which its authors name, is the Euler step in the sigma form.
    file = f"Hyper-SDXL-{steps}steps-lora.safetensors"
    return Profile(
        f"Hyper-SD, {steps} steps", "euler", "trailing", steps, 1.0, phases,
        fixed=("steps", "sampler", "cfg"), reason=f"its LoRA was distilled for {steps} DDIM steps without guidance",
        loras=(Lora(source="ByteDance/Hyper-SD", file=file, weight=1.0),),
    )  # fmt: skip


PROFILES: Mapping[str, Profile] = {
    "standard": Profile("30 steps with guidance: the best picture", "dpmpp-2m-karras", "leading", 30, 6.0, 4),
    "draft": Profile(
        "4 Lightning steps, narrow joins and the tiny VAE: to try things out", "euler", "trailing", 4, 1.0, 1,
        fixed=("steps", "sampler", "cfg"), reason="its LoRA was distilled for 4 Euler steps without guidance",
        loras=_lightning(4, 1).loras, tiny=True, lattice=_FAST_LATTICE,
    ),
    "lightning-8": _lightning(8, 3),
    "lightning-4": _lightning(4, 3),
    "hyper-8": _hyper(8, 3),
    "hyper-4": _hyper(4, 3),
    "lcm-8": Profile(
        "LCM-LoRA, 2 to 8 steps", "lcm", "leading", 8, 1.0, 8,
        fixed=("sampler",), reason="its LoRA is a consistency model, which only the LCM sampler follows",
        cfg_range=(1.0, 2.0),
        loras=(Lora(source="latent-consistency/lcm-lora-sdxl", file="pytorch_lora_weights.safetensors", weight=1.0,
                    licence="openrail++"),),
    ),
    "turbo-4": Profile(
        "SDXL-Turbo, windows of 512 px; not for commercial use", "euler-ancestral", "trailing", 4, 1.0, 4,
        fixed=("sampler", "cfg"), reason="the Turbo model was distilled for 1 to 4 steps without guidance",
        base=Base(source="stabilityai/sdxl-turbo", licence="sai-nc-community"), lattice=_SMALL_LATTICE,
    ),
}  # fmt: skip
"""Profiles by name. Step counts, samplers and guidance are those of the model cards named in docs/diffusion.md."""


@dataclass(frozen=True)
class Plan:
    """What a style's section comes to: nothing left open.

    Attributes:
        first: index of the first executed step in the full schedule of ``steps``.
        phases: indices of the executed steps (0 is the first executed), phase by phase.
        cfg_steps: number of executed steps, from the first, in which guidance is on.
    """

    sampler: str
    spacing: str
    steps: int
    first: int
    phases: tuple[tuple[int, ...], ...]
    cfg: float
    cfg_steps: int
    base: Base
    loras: tuple[Lora, ...]
    tiny: bool
    lattice: Lattice

    @property
    def executed(self) -> int:
        """How many steps are run."""
        return self.steps - self.first


def resolve(settings: Diffusion) -> Plan:
    """Settle steps, sampler, guidance and phases.

    Raises:
        StyleError: an unknown profile, a setting that its weights were not made for, or nothing left to run.
    """
    profile = PROFILES.get(settings.profile)
    if profile is None:
        raise StyleError(
            f"diffusion.profile: no profile called '{settings.profile}'. {nearest(settings.profile, PROFILES)}"
        )
    _check_fixed(settings, profile)
    steps = settings.steps or profile.steps
    cfg = profile.cfg if settings.cfg is None else settings.cfg
    low, high = profile.cfg_range
    if not low <= max(cfg, 1.0) <= high:
        raise StyleError(f"diffusion.cfg: {cfg:g} does not go with {settings.profile}; choose {low:g} to {high:g}")
    executed = min(steps, int(steps * settings.strength + 1e-9))
    if executed < 1:
        least = 1 / steps
        raise StyleError(
            f"diffusion.strength: {settings.strength:g} of {steps} steps rounds to nothing; "
            f"set it to at least {least:.3g}, or more steps"
        )
    count = min(settings.phases or profile.phases, executed)
    return Plan(
        sampler=settings.sampler or profile.sampler,
        spacing=profile.spacing,
        steps=steps,
        first=steps - executed,
        phases=split_phases(executed, count),
        cfg=max(cfg, 1.0),
        cfg_steps=0 if cfg <= 1 else -int(-executed * profile.cfg_end // 1),
        base=profile.base or settings.base,
        loras=(*profile.loras, *settings.loras),
        tiny=profile.tiny,
        lattice=profile.lattice or settings.lattice,
    )


def split_phases(steps: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Cut ``steps`` into ``count`` runs that grow: windows are fused often while the noise is high."""
    # Sizes in proportion to count + 1, count + 2 ...: the last run is about twice as long as the first.
    weights = [count + 1 + i for i in range(count)]
    ends = [round(steps * sum(weights[: i + 1]) / sum(weights)) for i in range(count)]
    ends = [max(end, i + 1) for i, end in enumerate(ends)]
    ends[-1] = steps
    for i in range(count - 2, -1, -1):
        ends[i] = min(ends[i], ends[i + 1] - 1)
    starts = [0, *ends[:-1]]
    return tuple(tuple(range(a, b)) for a, b in zip(starts, ends, strict=True))


def _check_fixed(settings: Diffusion, profile: Profile) -> None:
    if profile.base is not None and settings.base not in (Diffusion.model_fields["base"].default, profile.base):
        raise StyleError(
            f"diffusion.base: {settings.base.source} does not go with the profile {settings.profile}, which brings a "
            f"base of its own; choose another profile"
        )
    given = {"steps": settings.steps, "sampler": settings.sampler, "cfg": settings.cfg}
    right = {"steps": profile.steps, "sampler": profile.sampler, "cfg": profile.cfg}
    for name in profile.fixed:
        value = given.get(name)
        if value is None or value == right[name] or (name == "cfg" and max(float(value), 1.0) == 1.0 == profile.cfg):
            continue
        raise StyleError(
            f"diffusion.{name}: {value} does not go with the profile {settings.profile}: {profile.reason}; "
            f"leave it out or choose another profile"
        )
    if settings.profile.startswith("lcm") and settings.steps is not None and not 2 <= settings.steps <= 8:
        raise StyleError(f"diffusion.steps: {settings.steps} does not go with {settings.profile}; choose 2 to 8")
    if profile.base is not None and settings.steps is not None and settings.steps > profile.steps:
        raise StyleError(
            f"diffusion.steps: {settings.steps} does not go with {settings.profile}; choose 1 to {profile.steps}"
        )
