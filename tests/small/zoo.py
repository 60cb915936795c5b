"""The small models on disk, in every layout the product reads: made by ``make_zoo``, in about a second."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small import nets, sgm, words


@dataclass(frozen=True)
class Zoo:
    """Where the small models lie.

    Attributes:
        sdxl: diffusers folder with all of SDXL's parts.
        single: the same weights as one file in the original layout.
        config: the folder without its weights: what ``from_single_file`` needs.
        controlnet: folder of a plain ControlNet.
        union: folder of a union ControlNet with eight modes.
        taesd: folder of a tiny VAE.
        vae: folder of another VAE, to put in place of the base's.
        quick: as ``sdxl``, with one transformer layer per place: three to four times faster.
        quick_net: a plain ControlNet for ``quick``.
        quick_union: a union ControlNet for ``quick``.
    """

    sdxl: Path
    single: Path
    config: Path
    controlnet: Path
    union: Path
    taesd: Path
    vae: Path
    quick: Path
    quick_net: Path
    quick_union: Path


def make_zoo(folder: Path) -> Zoo:
    """Build, fill and write all small models into a folder."""
    zoo = Zoo(
        **{name: folder / name for name in Zoo.__dataclass_fields__ if name != "single"},
        single=folder / "xl.safetensors",
    )
    parts = _parts()
    _pipeline(parts).save_pretrained(zoo.sdxl)
    sgm.write_single_file(zoo.single, parts["unet"], parts["vae"], parts["text_encoder"], parts["text_encoder_2"])
    shutil.copytree(zoo.sdxl, zoo.config, ignore=shutil.ignore_patterns("*.safetensors"))
    nets.make_control_net().save_pretrained(zoo.controlnet)
    nets.make_union().save_pretrained(zoo.union)
    nets.make_tiny_vae().save_pretrained(zoo.taesd)
    nets.make_vae(seed=1).save_pretrained(zoo.vae)
    quick = nets.quick()
    shutil.copytree(zoo.sdxl, zoo.quick, ignore=shutil.ignore_patterns("unet"))
    nets.make_unet(quick).save_pretrained(zoo.quick / "unet")
    nets.make_control_net(quick).save_pretrained(zoo.quick_net)
    nets.make_union(quick).save_pretrained(zoo.quick_union)
    return zoo


@dataclass(frozen=True)
class Nets:
    """Networks loaded from the zoo by diffusers and transformers, not to be changed.

    Attributes:
        union: as diffusers makes it, that is with samples of a batch mixed.
    """

    unet: Any
    vae: Any
    tiny_vae: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    controlnet: Any
    union: Any


def load_nets(zoo: Zoo, quick: bool = False, dtype: str = "float32") -> Nets:
    """Load the named networks, or the quick ones; every call gives its own."""
    import torch
    from diffusers import AutoencoderTiny, ControlNetModel, ControlNetUnionModel, StableDiffusionXLPipeline

    options = {"dtype": getattr(torch, dtype), "local_files_only": True, "use_safetensors": True}
    pipeline = StableDiffusionXLPipeline.from_pretrained(zoo.quick if quick else zoo.sdxl, **options)
    loaded = Nets(
        unet=pipeline.unet,
        vae=pipeline.vae,
        tiny_vae=AutoencoderTiny.from_pretrained(zoo.taesd, **options),
        text_encoder=pipeline.text_encoder,
        text_encoder_2=pipeline.text_encoder_2,
        tokenizer=pipeline.tokenizer,
        tokenizer_2=pipeline.tokenizer_2,
        controlnet=ControlNetModel.from_pretrained(zoo.quick_net if quick else zoo.controlnet, **options),
        union=ControlNetUnionModel.from_pretrained(zoo.quick_union if quick else zoo.union, **options),
    )
    for net in vars(loaded).values():
        if isinstance(net, torch.nn.Module):
            net.requires_grad_(False).eval()
            for parameter in net.parameters():
                parameter.data = parameter.data.clone()  # off the mapped file, whose alignment changes bits
    return loaded


def make_hub_layout(folder: Path, sdxl: Path, half_only: bool = False) -> Path:
    """Write the base as the published folders are: old tokenizer files, old key names and an fp16 variant.

    Args:
        folder: where to, newly made.
        sdxl: the base to start from.
        half_only: leave the full-precision files away, as a download of the variant does.
    """
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(sdxl, folder, ignore=shutil.ignore_patterns("tokenizer*"))
    words.write_old_tokenizer(folder / "tokenizer", words.END)
    words.write_old_tokenizer(folder / "tokenizer_2", "!")
    for path in sorted(folder.glob("*/*.safetensors")):
        tensors = load_file(path)
        if path.parent.name == "text_encoder":
            tensors = {"text_model." + name.removeprefix("text_model."): value for name, value in tensors.items()}
            tensors["text_model.embeddings.position_ids"] = torch.arange(words.LENGTH)[None]
        if not half_only:
            save_file(tensors, path, metadata={"format": "pt"})
        halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
        save_file(halves, path.with_name(path.stem + ".fp16.safetensors"), metadata={"format": "pt"})
        if half_only:
            path.unlink()
    return folder


def _parts() -> dict[str, Any]:
    text_encoder, text_encoder_2 = nets.make_text_encoders()
    tokenizer, tokenizer_2 = words.tokenizers()
    return {
        "vae": nets.make_vae(),
        "text_encoder": text_encoder,
        "text_encoder_2": text_encoder_2,
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "unet": nets.make_unet(),
        "scheduler": nets.make_scheduler(),
    }


def _pipeline(parts: dict[str, Any]) -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline(**parts, add_watermarker=False)
