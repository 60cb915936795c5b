"""What a style says about diffusion: prompt, weights, controls, profile, lattice. No torch here."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

UNION_MODES: Mapping[str, int] = {
    "pose": 0,
    "depth": 1,
    "thick-line": 2,
    "thin-line": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}
"""Modes of ControlNet-Union, in the order of its authors (xinsir6/ControlNetPlus); the base net has the first six."""
SAMPLERS = ("euler", "euler-ancestral", "dpmpp-2m-karras", "lcm")
"""Samplers we have, by the names people know."""


class Settings(BaseModel):
    """What all tables of the section share: no unknown keys, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(Settings):
    """A file or folder of weights, and what is known about it."""

    source: str = Field(
        min_length=1, description="'owner/name' on the Hugging Face Hub, a path, or a name given to 'models add'"
    )
    file: str = Field("", description="file inside the source; empty is the whole folder or the only file")
    revision: str = Field("", description="commit on the Hub; empty where nobody has settled one")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="of the file; empty where nobody has seen it")
    licence: str = Field("", description="as its card states it; empty where it states none")
    civitai: int | None = Field(None, ge=1, description="its model version on CivitAI, when it has one")


class Base(Weights):
    """The SDXL model that everything else is put on."""

    config: str = Field("", description="folder of JSON configs for a single file; empty is SDXL's own")


class Lora(Weights):
    """A style LoRA; any number may be stacked."""

    weight: float = Field(0.8, ge=-4, le=4, description="how strongly; negative takes the style away")
    text_weight: float | None = Field(None, ge=-4, le=4, description="on the text encoders, when it differs")
    blocks: dict[str, float] = Field(
        default_factory=dict,
        description="further factors by UNet block: 'down', 'down.1', 'mid', 'up.0', 'up.0.1' (one attention), 'outer'",
    )
    trigger: str = Field("", description="words put before the prompt")
    trigger_from_file: bool = Field(False, description="also put the trigger phrase of the file's own metadata there")


class Net(Weights):
    """A ControlNet."""

    kind: Literal["plain", "union"] = Field("union", description="one control a net, or ControlNet-Union with modes")


class Control(Settings):
    """One hint to one net."""

    image: str = Field(description="what is drawn: 'edges', 'segmentation', 'depth', 'relief', 'painter' or 'imagery'")
    net: str = Field(description="which of the style's nets reads it")
    mode: str | None = Field(None, description="the mode of a union net: 'thin-line', 'segment', 'depth', 'tile' ...")
    detector: str = Field("", description="controlnet_aux detector run over 'painter' or 'imagery', such as 'canny'")
    scale: float = Field(0.8, ge=0, le=2, description="how strongly it guides")
    start: float = Field(0.0, ge=0, le=1, description="share of the executed steps after which it begins")
    end: float = Field(1.0, ge=0, le=1, description="share of the executed steps after which it is really skipped")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start:g} is not before end {self.end:g}")
        if self.mode is not None and self.mode not in UNION_MODES:
            raise ValueError(f"mode {self.mode!r} is none of {', '.join(UNION_MODES)}")
        if self.detector and self.image not in ("painter", "imagery"):
            raise ValueError(f"detector {self.detector!r} needs a picture: image = 'painter' or 'imagery'")
        return self


class Windows(Settings):
    """Sizes of one lattice of windows, in latents (8 real pixels)."""

    window: int = Field(ge=8, le=512, multiple_of=4, description="side of a window")
    stride: int = Field(ge=1, description="from one window to the next")
    guard: int = Field(ge=0, description="outermost ring, which counts nothing")
    ramp: int = Field(ge=0, description="ring in which the weight rises")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ramp > self.stride:
            raise ValueError(
                f"ramp {self.ramp} is longer than the stride {self.stride}: more than two windows would meet"
            )
        if self.window - 2 * self.guard - self.ramp != self.stride:
            raise ValueError(
                f"window - 2 guard - ramp must be the stride: {self.window} - {2 * self.guard} - {self.ramp} "
                f"is {self.window - 2 * self.guard - self.ramp}, not {self.stride}"
            )
        return self


class Lattice(Settings):
    """The two lattices: windows that are denoised, and windows that are decoded."""

    paint: Windows = Windows(window=128, stride=96, guard=8, ramp=16)
    decode: Windows = Windows(window=176, stride=128, guard=12, ramp=24)


class Diffusion(Settings):
    """The ``[diffusion]`` section of a style."""

    prompt: str = Field(description="the look in words; what is where, the controls say")
    negative: str = Field("text, letters, watermark, blurry", description="what is not wanted")
    strength: float = Field(0.75, gt=0, le=1, description="how far from the painter's ground the model may go")
    start: Literal["painter", "noise"] = Field(
        "painter", description="begin with the painter's ground, or (at strength 1) with the controls alone"
    )
    profile: str = Field("standard", description="steps, sampler and CFG that belong together; see PROFILES")
    steps: int | None = Field(None, ge=1, le=200, description="instead of the profile's")
    sampler: str | None = Field(None, description="instead of the profile's")
    cfg: float | None = Field(None, ge=0, le=30, description="classifier-free guidance, instead of the profile's")
    phases: int | None = Field(None, ge=1, le=32, description="how often windows are fused, instead of the profile's")
    base: Base = Base(source="stabilityai/stable-diffusion-xl-base-1.0", licence="openrail++")
    vae: Weights | None = Field(
        Weights(source="madebyollin/sdxl-vae-fp16-fix", licence="mit"), description="instead of the base's; or 'base'"
    )
    preview_vae: Weights = Weights(source="madebyollin/taesdxl", licence="mit")
    loras: tuple[Lora, ...] = ()
    nets: dict[str, Net] = Field(default_factory=dict)
    controls: tuple[Control, ...] = ()
    detectors: dict[str, Weights] = Field(
        default_factory=dict, description="weights of detectors that need some, by the detector's name; .safetensors"
    )
    lattice: Lattice = Lattice()
    compile: bool = Field(False, description="let torch.compile the networks: slower to begin with, then faster")
    batch: Literal[1, 2, 4] | None = Field(None, description="windows evaluated together; left out, what fits")
    original_size: int = Field(1024, ge=64, le=8192, description="SDXL's micro-conditioning, the same everywhere")
    crop: int = Field(0, ge=0, le=4096, description="SDXL's crop conditioning, the same everywhere")

    @field_validator("vae", mode="before")
    @classmethod
    def _read_vae(cls, value: object) -> object:
        return None if value == "base" else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise ValueError(f"sampler {self.sampler!r} is none of {', '.join(SAMPLERS)}")
        if self.start == "noise" and self.strength < 1:
            raise ValueError("start = 'noise' has nothing to keep of a picture: set strength = 1")
        seen = set()
        for control in self.controls:
            net = self.nets.get(control.net)
            if net is None:
                known = ", ".join(self.nets) or "none"
                raise ValueError(f"the control {control.image!r} names the net {control.net!r}; known: {known}")
            if (net.kind == "union") != (control.mode is not None):
                told = "needs a mode" if net.kind == "union" else "is plain and has no modes"
                raise ValueError(f"the control {control.image!r}: the net {control.net!r} {told}")
            if (control.net, control.mode) in seen and net.kind == "union":
                raise ValueError(f"two controls give the net {control.net!r} the mode {control.mode!r}")
            seen.add((control.net, control.mode))
        return self
