"""What weights are, told from their header or their folder's configs; what cannot be used is refused."""

import re
from dataclasses import dataclass
from pathlib import Path

from mapstyle.engines.diffusion.architecture import check_single, check_vae, read_index
from mapstyle.engines.diffusion.headers import Header, read_header, read_json
from mapstyle.engines.diffusion.hub import refuse_pickle
from mapstyle.errors import EngineError

_LORA = re.compile(r"^lora_|\.lora[_.]|\.hada_|\.lokr_|\.dora_scale$|\.oft_|^lllite_|\.diff(_b)?$")
_CLASSES = {
    "AutoencoderKL": "vae",
    "AutoencoderTiny": "tiny vae",
    "ControlNetModel": "controlnet",
    "ControlNetUnionModel": "union controlnet",
}


@dataclass(frozen=True)
class Identity:
    """What weights are.

    Attributes:
        kind: ``checkpoint``, ``lora``, ``controlnet``, ``union controlnet``, ``vae`` or ``tiny vae``.
        title: as their maker calls them.
        licence: as their maker states it in the file; often empty.
        trigger: words that call a LoRA up; often empty.
    """

    kind: str
    title: str
    licence: str = ""
    trigger: str = ""


def identify(path: Path, files: tuple[str, ...] = ()) -> Identity:
    """Tell what weights are.

    Args:
        path: a file, or a folder that is loaded whole.
        files: of a folder, all that are needed, by their names below it.

    Raises:
        EngineError: they are damaged, a pickle, or nothing that can be used here.
    """
    return _folder(path, files) if path.is_dir() else _file(path)


def _folder(path: Path, files: tuple[str, ...]) -> Identity:
    if (path / "model_index.json").is_file():
        read_index(path)
        kind = "checkpoint"
    else:
        config = read_json(path / "config.json")
        name = str(config.get("_class_name", ""))
        if name not in _CLASSES:
            raise EngineError(f"{path}: holds a {name[:60]!r}, which is nothing that a style can use")
        kind = _CLASSES[name]
        if kind == "vae":
            check_vae(path, config)
        if "controlnet" in kind and config.get("addition_embed_type") != "text_time":
            raise EngineError(f"{path}: this ControlNet was not made for SDXL; take one that was")
    for file in files:
        if file.endswith(".safetensors"):
            read_header(path / file)
    return Identity(kind, path.name)


def _file(path: Path) -> Identity:
    refuse_pickle(str(path))
    header = read_header(path)
    names = header.tensors
    title = _said(header, "modelspec.title") or path.stem
    licence = _said(header, "modelspec.license")
    if any(_LORA.search(name) for name in names):
        from mapstyle.engines.diffusion.lora_file import read_lora

        lora = read_lora(path)
        return Identity("lora", lora.title, lora.licence, lora.trigger)
    bare = {name.removeprefix("control_model.").removeprefix("first_stage_model.") for name in names}
    if "task_embedding" in bare:
        return Identity("union controlnet", title, licence)
    if any(name.startswith(("controlnet_cond_embedding.", "input_hint_block.")) for name in bare):
        if not any(name.startswith(("add_embedding.", "label_emb.")) for name in bare):
            raise EngineError(f"{path}: this ControlNet was not made for SDXL; take one that was")
        return Identity("controlnet", title, licence)
    checkpoint = any(name.startswith(("conditioner.", "model.diffusion_model.")) for name in names)
    if not checkpoint and "decoder.conv_in.weight" in bare:
        return Identity("vae", title, licence)
    if not checkpoint and {"encoder.layers.0.weight", "decoder.layers.0.weight"} & bare:
        return Identity("tiny vae", title, licence)
    check_single(path, header, ("unet", "text_encoder", "text_encoder_2", "vae"))
    return Identity("checkpoint", title, licence)


def _said(header: Header, key: str) -> str:
    return "".join(c for c in header.metadata.get(key, "") if c.isprintable())[:120].strip()
