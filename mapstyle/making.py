"""How a picture was made by a model: what its metadata says of weights, prompt and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WeightUsed:
    """One file of weights that took part.

    Attributes:
        role: ``base``, ``vae``, ``controlnet`` or ``lora``.
        name: file or repository name without suffix.
        sha256: of the file, 64 hex digits; of a folder, of its files' digests in order of their names.
        autov2: the first 10 hex digits of a file's SHA-256 (A1111's "Model hash"); empty for folders.
        autov3: the first 12 hex digits of the SHA-256 of a safetensors file without its header, or the hash
            its metadata carries (``sshs_model_hash``); empty for folders.
        weight: a LoRA's signed weight or a control's scale; None where there is none.
        licence: as its card states it, or empty.
        civitai: its model version on CivitAI, or None.
    """

    role: str
    name: str
    sha256: str
    autov2: str
    autov3: str = ""
    weight: float | None = None
    licence: str = ""
    civitai: int | None = None


@dataclass(frozen=True)
class Making:
    """Everything that decided what a model painted.

    Attributes:
        prompt: with trigger words, as it was encoded.
        negative: the negative prompt.
        sampler: A1111's name of the sampler, such as ``Euler`` or ``DPM++ 2M``.
        schedule: A1111's name of the schedule, such as ``Karras`` or ``SGM Uniform``.
        steps: of the full schedule; ``evaluated`` of them were run.
        evaluated: number of steps after ``strength``.
        cfg: classifier-free guidance scale.
        strength: how far from the painter's ground the model could go.
        seed: the map's seed.
        weights: every file that took part, the base first.
        controls: one record a control: image, net, mode, scale, start, end.
        lattice: windows, strides and phases.
        device: what it ran on, with dtype, threads and versions of the libraries.
        settings: the style's section as it was, but for where weights lie.
        exact: whether every window was made under the same identity; False after memory ran out.
        identity: digest of all that decides pixels.
    """

    prompt: str
    negative: str
    sampler: str
    schedule: str
    steps: int
    evaluated: int
    cfg: float
    strength: float
    seed: int
    weights: tuple[WeightUsed, ...]
    controls: tuple[Mapping[str, Any], ...] = ()
    lattice: Mapping[str, Any] = field(default_factory=dict)
    device: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = True
    identity: str = ""
