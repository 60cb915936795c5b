"""LoRA files that do not fit SDXL or cannot be loaded: none of them may be half-applied or pass without effect."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from small import loras
from small.fill import uniform
from small.zoo import Zoo

Layer = Callable[[str, tuple[int, ...]], dict[str, Any]]


def write_bad(folder: Path, zoo: Zoo) -> dict[str, Path]:
    """Write all of them, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {**_other_kinds(), **_other_bases(), **_other_prefixes(), **_faults()}
    paths = {
        name: loras.save(folder / f"{name}.safetensors", content, header) for name, (content, header) in tensors.items()
    }
    return {**paths, **_other_files(folder, zoo)}


Files = dict[str, tuple[Mapping[str, Any], Mapping[str, str]]]


def _layers(layer: Layer, names: Callable[[str], str] = loras.kohya_name) -> dict[str, Any]:
    return {
        f"{names(name)}.{ending}": value
        for name, shape in loras.modules("attention", inside=loras.BLOCK).items()
        for ending, value in layer(name, shape).items()
    }


def _values(name: str, *shape: int) -> Any:
    import torch

    return torch.from_numpy(uniform(name, shape) * 0.2).float()


def _alpha() -> Any:
    import torch

    return torch.tensor(loras.ALPHA)


def _pair(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    down, up = loras.factors(name, shape, loras.RANK, 0)
    return {"lora_down.weight": down, "lora_up.weight": up, "alpha": _alpha()}


def _peft_pair(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    down, up = loras.factors(name, shape, loras.RANK, 0)
    return {"lora_A.weight": down, "lora_B.weight": up}


def _lycoris(algorithm: str) -> dict[str, str]:
    arguments = json.dumps({"algo": algorithm, "conv_dim": str(loras.RANK)})
    return loras.kohya_header(algorithm, ss_network_module="lycoris.kohya", ss_network_args=arguments)


def _other_kinds() -> Files:
    r = loras.RANK

    def loha(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        sides = {"a": (shape[0], r), "b": (r, shape[1])}
        pairs = {f"hada_w{i}_{side}": _values(f"{name}{i}{side}", *sides[side]) for i in (1, 2) for side in "ab"}
        return {**pairs, "alpha": _alpha()}

    def lokr(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        large = _values(name, shape[0] // 2, shape[1] // 2)
        return {"lokr_w1": _values(name, 2, 2), "lokr_w2": large, "alpha": _alpha()}

    def glora(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        sides = {"a1": (r, shape[1]), "a2": (shape[1], r), "b1": (r, shape[1]), "b2": (shape[0], r)}
        return {f"{part}.weight": _values(name + part, *size) for part, size in sides.items()}

    def dora(columns: bool) -> Layer:
        def layer(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
            size = (1, shape[1]) if columns else (shape[0], 1)
            return {**_pair(name, shape), "dora_scale": _values(name, *size) + 1}

        return layer

    def dora_peft(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        return {**_peft_pair(name, shape), "lora_magnitude_vector": _values(name, shape[0]) + 1}

    def tucker(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        return {**_pair(name, shape), "lora_mid.weight": _values(name, r, r)}

    def norm(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        return {"w_norm": _values(name, shape[0]), "b_norm": _values(name, shape[0])}

    usual = loras.kohya_header("paper-cut")
    return {
        "loha": (_layers(loha), _lycoris("loha")),
        "lokr": (_layers(lokr), _lycoris("lokr")),
        "lokr-no-header": (_layers(lokr), {}),
        "glora": (_layers(glora), _lycoris("glora")),
        "oft": (_layers(lambda name, shape: {"oft_blocks": _values(name, 4, shape[0] // 4, shape[0] // 4)}), usual),
        "ia3": (_layers(lambda name, shape: {"weight": _values(name, shape[0], 1)}), _lycoris("ia3")),
        "dora-kohya": (_layers(dora(columns=True)), usual),
        "dora-kohya-rows": (_layers(dora(columns=False)), usual),
        "dora-peft": (_layers(dora_peft, loras.peft_name), {"format": "pt"}),
        "tucker": (_layers(tucker), usual),
        "norm": ({**_layers(_pair), **_layers(norm)}, usual),
        "diff": (_layers(lambda name, shape: {"diff": _values(name, *shape)}), usual),
        "diff-bias": (
            _layers(lambda name, shape: {**_pair(name, shape), "diff_b": _values(name, shape[0])}),
            usual,
        ),
    }


def _linear(keys: Mapping[str, tuple[int, int]], layer: Layer = _pair) -> dict[str, Any]:
    """Make pairs of rank 4 for weights that SDXL does not have: name -> (out, in)."""
    return {f"{name}.{ending}": value for name, shape in keys.items() for ending, value in layer(name, shape).items()}


def _other_bases() -> Files:
    old = loras.kohya_header(
        "ink", **{"ss_base_model_version": "sd_v1", "modelspec.architecture": "stable-diffusion-v1/lora"}
    )
    flux = loras.kohya_header(
        "ink",
        **{
            "ss_base_model_version": "flux1",
            "ss_network_module": "networks.lora_flux",
            "modelspec.architecture": "flux-1-dev/lora",
        },
    )
    refiner = loras.kohya_header(
        "ink", **{"modelspec.architecture": "stable-diffusion-xl-v1-refiner/lora", "ss_base_model_version": ""}
    )
    attention = "attentions_0_transformer_blocks_0"
    shared = {
        f"lora_unet_{block}_{attention}_{part}": (width, 768 if part == "attn2_to_k" else width)
        for block, width in (("down_blocks_1", 640), ("down_blocks_2", 1280), ("mid_block", 1280))
        for part in ("attn1_to_q", "attn2_to_k")
    }
    own = {f"lora_unet_down_blocks_0_{attention}_{part}": (320, 320) for part in ("attn1_to_q", "attn1_to_k")}
    text = {f"lora_te_text_model_encoder_layers_{i}_self_attn_q_proj": (768, 768) for i in range(2)}
    double = {
        "lora_unet_double_blocks_0_img_attn_qkv": (192, 64),
        "lora_unet_single_blocks_0_linear1": (448, 64),
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (32, 32),
    }
    single = {
        f"transformer.single_transformer_blocks.{i}.attn.{part}": (64, 64)
        for i in range(2)
        for part in ("to_q", "to_k")
    }
    return {
        "sd15": (_linear({**shared, **own, **text}), old),
        "sd15-no-header": (_linear({**shared, **own, **text}), {}),
        "sd15-shared-blocks": (_linear(shared), {}),
        "sd15-by-header": (_layers(_pair), old),
        "refiner-by-header": (_layers(_pair), refiner),
        "flux-kohya": (_linear(double), flux),
        "flux-kohya-no-header": (_linear(double), {}),
        "flux-peft": (_linear(single, _peft_pair), {"format": "pt"}),
    }


def _other_prefixes() -> Files:
    def named(before: str) -> tuple[dict[str, Any], dict[str, str]]:
        return _layers(_peft_pair, lambda name: before + name.removeprefix("unet.")), {"format": "pt"}

    return {
        "peft-no-prefix": named(""),
        "peft-base-model": named("base_model.model."),
        "peft-diffusion-model": named("diffusion_model."),
    }


def _faults() -> Files:
    usual = loras.kohya_header("paper-cut")
    good = _layers(_pair)
    first = next(key for key in good if key.endswith("lora_up.weight")).removesuffix("lora_up.weight")
    deep = "lora_unet_input_blocks_4_1_transformer_blocks_9_attn1_to_q"  # the place has two layers, not ten

    def changed(ending: str, value: Any) -> tuple[dict[str, Any], dict[str, str]]:
        return {**good, first + ending: value}, usual

    def without(ending: str) -> tuple[dict[str, Any], dict[str, str]]:
        return {key: value for key, value in good.items() if key != first + ending}, usual

    up = good[first + "lora_up.weight"]
    return {
        "empty": ({}, {}),
        "empty-with-header": ({}, usual),
        "stray": ({**good, "some.other.weight": _values("stray", 4, 4)}, usual),
        "stray-module": ({**good, **_linear({deep: (16, 16)})}, usual),
        "embedding-inside": ({**good, "bundle_emb.cut.string_to_param.*": _values("emb", 2, 32)}, usual),
        "nan": changed("lora_up.weight", up * float("nan")),
        "infinite": changed("lora_up.weight", up * float("inf")),
        "nan-alpha": changed("alpha", good[first + "alpha"] * float("nan")),
        "integers": changed("lora_up.weight", up.round().int()),
        "no-up": without("lora_up.weight"),
        "no-down": without("lora_down.weight"),
        "ranks-differ": changed("lora_up.weight", up[:, :2]),
        "wrong-width": (
            {key: value[:, : value.shape[1] // 2] if "lora_down" in key else value for key, value in good.items()},
            usual,
        ),
        "textual-inversion": ({"clip_l": _values("l", 2, 32), "clip_g": _values("g", 2, 48)}, {}),
    }


def _other_files(folder: Path, zoo: Zoo) -> dict[str, Path]:
    import torch

    good = loras.write_kohya(folder / "cut-short.safetensors", loras.modules("attention", inside=loras.BLOCK)).path
    whole = good.read_bytes()
    contents = {
        "cut-short": whole[: len(whole) * 2 // 3],
        "web-page": b"<!DOCTYPE html><html><body>Please sign in to download this model.</body></html>",
        "huge-header": (2**60).to_bytes(8, "little") + b"{}",
        "nothing": b"",
    }
    paths = {name: folder / f"{name}.safetensors" for name in contents}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    paths["pickle"] = folder / "pickle.safetensors"
    torch.save(_layers(_pair), paths["pickle"])
    paths["pickle-by-name"] = folder / "pickle-by-name.pt"
    shutil.copy(paths["pickle"], paths["pickle-by-name"])
    paths["checkpoint"] = zoo.single
    paths["control-net"] = zoo.controlnet / "diffusion_pytorch_model.safetensors"
    return paths
