"""Load SDXL's networks from disk: checked before, settled after, and nothing from the network."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapstyle.engines.diffusion import single_file
from mapstyle.engines.diffusion.architecture import (
    PARTS,
    TEXT_PARTS,
    TOKENIZERS,
    build,
    check_config,
    check_single,
    check_vae,
    check_widths,
    plain_name,
    quiet,
    read_config,
    read_index,
    read_scheduler,
    shapes_of,
    translated,
)
from mapstyle.engines.diffusion.headers import Header, check_fits, read_header, read_json, variant_of, weights_of
from mapstyle.engines.diffusion.vocabulary import CONFIGS, write_configs
from mapstyle.errors import EngineError

if TYPE_CHECKING:
    import torch


@dataclass
class Base:
    """An SDXL base model, ready to run.

    Attributes:
        unet: the UNet.
        vae: None when it was not asked for.
        text_encoders: two; the second one's output is also pooled. Whoever has encoded all prompts may empty the list.
        tokenizers: one for each text encoder.
        scheduler_config: the noise schedule the base was trained with.
        force_zeros: whether an empty negative prompt is all zeros.
    """

    unet: Any
    vae: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    scheduler_config: dict[str, Any]
    force_zeros: bool


def load_base(
    path: Path,
    config: Path | None,
    dtype: "torch.dtype",
    device: str = "cpu",
    text_dtype: "torch.dtype | None" = None,
    vae: bool = True,
    cache: Path | None = None,
) -> Base:
    """Load an SDXL base from a diffusers folder or from one ``.safetensors`` checkpoint.

    Args:
        path: the folder or the file.
        config: folder of JSON configs and tokenizers for a single file; SDXL's own when None.
        dtype: of the UNet, and of the VAE unless it needs more (:func:`vae_dtype`).
        device: where to.
        text_dtype: of the text encoders, when it differs.
        vae: whether its own VAE is wanted too.
        cache: where SDXL's configs may be written while a single file is loaded; the system's place when None.

    Raises:
        EngineError: it is not there, damaged, not SDXL, or not of plain floats.
    """
    if not path.exists():
        raise EngineError(f"{path}: no such file or folder")
    parts = ("unet", *TEXT_PARTS, *(("vae",) if vae else ()))
    if path.is_dir():
        return _load_base(path, path, None, parts, dtype, device, text_dtype)
    header = read_header(path)
    # Before anything is asked of the configs: that the file is none of ours says more than that they do not fit.
    check_single(path, header, parts)
    with _configs(config, cache) as folder:
        return _load_base(path, folder, header, parts, dtype, device, text_dtype)


def load_vae(path: Path, dtype: "torch.dtype", device: str = "cpu", config: Path | None = None) -> Any:
    """Load a VAE to put in place of the base's, from a folder or a file of its own.

    Args:
        path: the folder or the file.
        dtype: of its weights, unless it needs more (:func:`vae_dtype`).
        device: where to.
        config: folder of the base's JSON configs for a single file; SDXL's own when None.
    """
    header = read_header(path)
    if path.is_dir():
        settings = _folder_config(path, "AutoencoderKL")
        check_vae(path, settings)
        model = _load_folder(path, "AutoencoderKL", settings, header, vae_dtype(settings, dtype))
    else:
        settings = read_config(config or CONFIGS, "vae")
        check_vae(config or CONFIGS, settings)
        model = single_file.load_lone_vae(path, header, config or CONFIGS, vae_dtype(settings, dtype))
    return _settle_vae(model, dtype, device, str(path))


def load_tiny_vae(path: Path, dtype: "torch.dtype", device: str = "cpu") -> Any:
    """Load a tiny VAE (TAESD) from a folder or a file of its own."""
    header = read_header(path)
    if path.is_dir():
        model = _load_folder(path, "AutoencoderTiny", _folder_config(path, "AutoencoderTiny"), header, dtype)
    else:
        model = single_file.load_lone_tiny_vae(path, header)
    return settle(model, dtype, device, str(path))


def load_net(
    path: Path,
    kind: str,
    dtype: "torch.dtype",
    device: str = "cpu",
    base_unet_config: Mapping[str, Any] | None = None,
) -> Any:
    """Load a ControlNet from a folder or a file of its own.

    Args:
        path: the folder or the file.
        kind: ``plain`` or ``union``; a net of the other kind is refused, though diffusers would load it.
        dtype: of its weights.
        device: where to.
        base_unet_config: config of the UNet it shall guide; SDXL's own when None.
    """
    header = read_header(path)
    guessed = single_file.net_config(path, header, base_unet_config)
    if single_file.is_union(header) != (kind == "union"):
        is_a, other = ("a union net", "union") if kind == "plain" else ("a plain net, without modes", "plain")
        raise EngineError(f"{path}: this is {is_a}; set kind = '{other}' where the style names it")
    name = "ControlNetUnionModel" if kind == "union" else "ControlNetModel"
    _check_guides(path, guessed, base_unet_config)
    if path.is_dir():
        # Published configs say too little: the class, or the number of modes, is often left as it was for another net.
        facts = {key: value for key, value in guessed.items() if key in ("num_control_type", "num_trans_layer")}
        config = _folder_config(path, "ControlNetModel", "ControlNetUnionModel") | facts
        model = _load_folder(path, name, config, header, dtype, facts)
    else:
        model = single_file.load_lone(path, header, name, guessed)
    return settle(model, dtype, device, str(path))


def vae_dtype(config: Mapping[str, Any], dtype: "torch.dtype") -> "torch.dtype":
    """Choose the type a VAE runs in: SDXL's own overflows in fp16, and its config says so."""
    import torch

    return torch.float32 if dtype == torch.float16 and config.get("force_upcast", True) else dtype


def vae_scale(vae: Any) -> float:
    """Tell by what a VAE's latents are multiplied before noise is added to them."""
    return float(vae.config.scaling_factor)


def settle(model: Any, dtype: "torch.dtype", device: str, what: str) -> Any:
    """Give a loaded model weights of its own, check them, and make it ready for inference.

    Every tensor is copied. Those a loader hands out lie in the mapped file at any address, and matrix products on the
    CPU differ in the last bits with the alignment of what they multiply.

    Raises:
        EngineError: a weight was left without a value, or is not finite.
    """
    import torch

    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_meta:
            raise EngineError(f"{what}: {name} got no value; download it again")
        kept = tensor.dtype if not tensor.is_floating_point() else dtype
        tensor.data = tensor.data.to(device, kept, copy=True, memory_format=torch.contiguous_format)
        # The extremes are NaN or infinite if any value is, and need no room of their own.
        if (
            tensor.is_floating_point()
            and tensor.numel()
            and not all(torch.isfinite(end) for end in tensor.data.aminmax())
        ):
            raise EngineError(
                f"{what}: {name} holds values that are not finite; the file is damaged: download it again"
            )
    return model.eval().requires_grad_(False)


def _load_base(
    path: Path,
    configs: Path,
    header: Header | None,
    parts: tuple[str, ...],
    dtype: "torch.dtype",
    device: str,
    text_dtype: "torch.dtype | None",
) -> Base:
    index = read_index(configs)
    settings = {part: read_config(configs, part) for part in parts}
    check_widths(configs, settings)
    scheduler = read_scheduler(configs)
    dtypes = {part: text_dtype or dtype if part in TEXT_PARTS else dtype for part in parts}
    if "vae" in parts:
        dtypes["vae"] = vae_dtype(settings["vae"], dtype)
    tokenizers = [
        _load_tokenizer(configs / name, settings[part]) for name, part in zip(TOKENIZERS, TEXT_PARTS, strict=True)
    ]
    if header is None:
        loading = _load_folders(path, {part: read_header(path / part) for part in parts}, settings, dtypes)
    else:
        loading = single_file.load_parts(path, header, configs, parts, dtypes)
    models = {}
    # Settled one by one, so that the mapped file need not be in memory beside all copies.
    for part, model in loading:
        finish = _settle_vae if part == "vae" else settle
        models[part] = finish(model, dtypes[part], device, f"{path} ({part})")
    return Base(
        unet=models["unet"],
        vae=models.get("vae"),
        text_encoders=[models[part] for part in TEXT_PARTS],
        tokenizers=tokenizers,
        scheduler_config=scheduler,
        force_zeros=bool(index.get("force_zeros_for_empty_prompt", True)),
    )


def _load_folders(
    path: Path,
    headers: Mapping[str, Header],
    settings: Mapping[str, Mapping[str, Any]],
    dtypes: Mapping[str, "torch.dtype"],
) -> Iterator[tuple[str, Any]]:
    for part, header in headers.items():
        yield part, _load_folder(path / part, PARTS[part][1], settings[part], header, dtypes[part])


@contextmanager
def _configs(config: Path | None, cache: Path | None) -> Iterator[Path]:
    if config is not None:
        if not config.is_dir():
            raise EngineError(f"{config}: no such folder of configs; leave diffusion.base.config empty for SDXL's own")
        yield config
        return
    try:
        made = tempfile.TemporaryDirectory(dir=cache)
    except OSError as error:
        raise EngineError(
            f"{cache or tempfile.gettempdir()}: cannot be written to ({error.strerror or error})"
        ) from error
    with made as folder:
        yield write_configs(Path(folder))


def _load_folder(
    folder: Path,
    name: str,
    config: Mapping[str, Any],
    header: Header,
    dtype: "torch.dtype",
    facts: Mapping[str, Any] | None = None,
) -> Any:
    """Check a folder's weights against its config, then let the library load them; ``facts`` go over the config."""
    import diffusers
    import transformers

    text = name.startswith("CLIP")
    expected = shapes_of(build(name, config, str(folder)))
    rename = plain_name if text else single_file.new_vae_name if name == "AutoencoderKL" else str
    found = {rename(tensor): info for tensor, info in header.tensors.items()}
    # Text encoders are published with tables of positions and projections that their class does not use.
    check_fits(expected, found, str(folder), spare=text)
    local: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "dtype": dtype}
    if variant := variant_of(weights_of(folder)):
        local["variant"] = variant
    with translated(str(folder)), quiet():
        if text:
            return getattr(transformers, name).from_pretrained(folder, attn_implementation="sdpa", **local)
        return getattr(diffusers, name).from_pretrained(folder, **local, **(facts or {}))


def _folder_config(folder: Path, *names: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise EngineError(f"{path}: missing; the folder's download is incomplete")
    config = read_json(path)
    named = str(config.get("_class_name", names[0]))
    if named not in names:
        raise EngineError(f"{path}: is of a {named[:60]}, not of a {names[0]}")
    check_config(path, config)
    return config


def _load_tokenizer(folder: Path, text: Mapping[str, Any]) -> Any:
    # Without these files transformers makes a tokenizer that knows two words.
    if not (folder / "tokenizer.json").is_file() and not all(
        (folder / name).is_file() for name in ("vocab.json", "merges.txt")
    ):
        raise EngineError(
            f"{folder}: no vocabulary in it (tokenizer.json, or vocab.json and merges.txt); download it again"
        )
    from transformers import CLIPTokenizer

    with translated(str(folder)), quiet():
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    words = text.get("vocab_size", 49408)
    # SDXL's encoders find the end of a prompt as its highest id.
    if len(tokenizer) != words or tokenizer.eos_token_id != words - 1:
        raise EngineError(
            f"{folder}: knows {len(tokenizer)} words, its text encoder {words}; they do not belong together"
        )
    return tokenizer


def _settle_vae(model: Any, dtype: "torch.dtype", device: str, what: str) -> Any:
    import torch

    dtype = vae_dtype(model.config, dtype)
    if dtype in (torch.float32, torch.float64):
        model.register_to_config(force_upcast=False)
    return settle(model, dtype, device, what)


def _check_guides(path: Path, config: Mapping[str, Any], unet: Mapping[str, Any] | None) -> None:
    """Refuse a net that was made for another family: its residuals would not fit, or fit by chance."""
    expected = unet or read_config(CONFIGS, "unet")
    for key, what in (("cross_attention_dim", "prompts"), ("block_out_channels", "channels")):
        mine, bases = config.get(key), expected.get(key)
        if mine is not None and (list(mine) if isinstance(mine, list) else mine) != (
            list(bases) if isinstance(bases, (list, tuple)) else bases
        ):
            raise EngineError(
                f"{path}: is made for {what} {mine} wide, the base's are {bases}; take a ControlNet for SDXL"
            )
