"""What a spec comes to once its weights are in memory: networks, prompt, schedule."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mapstyle.engines.base import Watch
from mapstyle.engines.diffusion.architecture import quiet
from mapstyle.engines.diffusion.denoiser import Denoiser
from mapstyle.engines.diffusion.fit import Fit, check_libraries
from mapstyle.engines.diffusion.lattice import LATENT
from mapstyle.engines.diffusion.loader import Base, load_base, load_net, load_tiny_vae, load_vae, vae_scale
from mapstyle.engines.diffusion.lora_file import LoraFile, read_lora
from mapstyle.engines.diffusion.lora_merge import Merger
from mapstyle.engines.diffusion.nets import ControlModel, wrap_net
from mapstyle.engines.diffusion.prompt import encode_prompt, micro_conditioning
from mapstyle.engines.diffusion.schedule import schedule
from mapstyle.engines.diffusion.settings import Lora, Net
from mapstyle.engines.diffusion.spec import DiffusionSpec


class Loaded:
    """The networks of one spec, on their device.

    Attributes:
        fit: how they run; changes only when memory runs out.
        schedule: of the executed steps.
        prompt: as it was encoded, with trigger words.
        vae_scale: what latents are multiplied with after encoding.
        state: torch dtype in which latents are kept between steps.
    """

    def __init__(self, spec: DiffusionSpec, watch: Watch) -> None:
        """Load everything; the text encoders are let go as soon as the prompt is encoded."""
        check_libraries()
        import torch

        _settle(torch, spec.fit)
        self.fit = spec.fit
        self._dtype: Any = getattr(torch, spec.fit.dtype)
        self.state = torch.float64 if self._dtype == torch.float64 else torch.float32
        plan, settings = spec.plan, spec.settings
        loras = [(part.ref, read_lora(part.found.path)) for part in spec.part("lora")]
        self.prompt = _with_triggers(settings.prompt, loras)
        base = self._base(spec, loras)
        encoded = encode_prompt(base, self.prompt, settings.negative, plan.cfg_steps > 0)
        if encoded.dropped:
            watch.say(f"note: the prompt is longer than CLIP reads; left out: '{encoded.dropped}'")
        base.text_encoders.clear()
        self.schedule = schedule(plan.sampler, plan.spacing, plan.steps, base.scheduler_config).cut(plan.first)
        self._unet = base.unet
        self._nets = self._controls(spec, base.unet.config)
        self._vae = self._decoder(spec, base)
        self.vae_scale = vae_scale(self._vae)
        self._vae_dtype = next(iter(self._vae.parameters())).dtype
        self._place()
        if settings.compile:
            self._unet.compile_repeated_blocks(fullgraph=True)
        self._denoiser = Denoiser(
            self._unet, self._nets, settings.controls, encoded,
            micro_conditioning(settings.original_size, settings.crop, plan.lattice.paint.window * LATENT),
            self.schedule, first=0, executed=plan.executed, cfg=plan.cfg, cfg_steps=plan.cfg_steps,
            device=spec.fit.device,
        )  # fmt: skip
        for i, control in enumerate(settings.controls):
            if control.scale > 0 and i not in self._denoiser.used:
                watch.say(
                    f"note: the control '{control.image}' is on from {control.start:g} to {control.end:g} of "
                    f"{plan.executed} steps, in which no whole step lies; it does nothing"
                )

    @contextmanager
    def at_work(self, part: str) -> Iterator[None]:
        """Have a part at work: ``paint``, ``encode`` or ``decode``.

        Where room is short the UNet and the nets wait in main memory while windows are decoded; the VAE is small
        and stays, and encoding takes no more room than painting.
        """
        if self.fit.offload and part != "encode":
            for module in self._painters():
                module.to(self.fit.device if part == "paint" else "cpu")
        yield

    @contextmanager
    def in_float32(self, careful: bool) -> Iterator[Denoiser]:
        """Give the denoiser, with networks in float32 for a while if need be; back again they are what they were."""
        if not careful or self._dtype.itemsize >= 4:
            yield self._denoiser
            return
        import torch

        try:
            with quiet():
                for module in self._painters():
                    module.to(torch.float32)
            yield self._denoiser
        finally:
            with quiet():
                for module in self._painters():
                    module.to(self._dtype)

    @contextmanager
    def vae_in_float32(self, careful: bool) -> Iterator[Any]:
        """Give the VAE, in float32 for a while if need be."""
        if not careful or self._vae_dtype.itemsize >= 4:
            yield self._vae
            return
        import torch

        try:
            yield self._vae.to(torch.float32)
        finally:
            self._vae.to(self._vae_dtype)

    def refit(self, fit: Fit) -> None:
        """Go on with less memory."""
        self.fit = fit
        self._place()

    def _painters(self) -> list[Any]:
        return [self._unet, *(net.module for net in self._nets.values())]

    def _place(self) -> None:
        for module in self._painters():
            module.to("cpu" if self.fit.offload else self.fit.device)
        self._vae.to(self.fit.device)

    def _base(self, spec: DiffusionSpec, loras: Sequence[tuple[Any, LoraFile]]) -> Base:
        import torch

        (part,) = spec.part("base")
        own_vae = not spec.plan.tiny and spec.settings.vae is None
        # Prompts are encoded on the CPU in float32: it takes seconds, once, and no room on the device.
        text = self._dtype if self._dtype == torch.float64 else torch.float32
        base = load_base(part.found.path, spec.config, self._dtype, text_dtype=text, vae=own_vae)
        stack = [(file, ref.weight, ref.text_weight, ref.blocks) for ref, file in loras]
        Merger(base.unet, base.text_encoders).apply(stack)
        return base

    def _controls(self, spec: DiffusionSpec, unet_config: Any) -> dict[str, ControlModel]:
        nets: dict[str, ControlModel] = {}
        for control in spec.settings.controls:
            if control.net in nets:
                continue
            ref: Net = spec.settings.nets[control.net]
            found = spec.found("controlnet", ref)
            assert found is not None, "a spec has all the nets that its controls use"
            module = load_net(found.path, ref.kind, self._dtype, base_unet_config=unet_config)
            nets[control.net] = wrap_net(module, ref.kind, control.net)
        return nets

    def _decoder(self, spec: DiffusionSpec, base: Base) -> Any:
        if spec.plan.tiny:
            (part,) = spec.part("preview")
            return load_tiny_vae(part.found.path, self._dtype)
        for part in spec.part("vae"):
            return load_vae(part.found.path, self._dtype, config=spec.config)
        return base.vae


def _with_triggers(prompt: str, loras: Sequence[tuple[Any, LoraFile]]) -> str:
    """Put trigger words before a prompt, each once."""
    words: list[str] = []
    for ref, file in loras:
        assert isinstance(ref, Lora)
        words += [ref.trigger, file.trigger if ref.trigger_from_file else ""]
    return ", ".join([*dict.fromkeys(w for w in words if w), prompt])


def _settle(torch: Any, fit: Fit) -> None:
    """Settle what else decides bits: algorithms, precision, threads."""
    import os

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(fit.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.enable_cudnn_sdp(False)  # chooses its way anew with every version; the others have one
    if fit.device.startswith("cuda"):
        torch.use_deterministic_algorithms(True, warn_only=True)
