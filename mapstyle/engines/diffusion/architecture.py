"""What SDXL is made of: the classes of its parts, what their configs must say, and their shapes before weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapstyle.engines.diffusion.headers import FLOATS, Header, read_json
from mapstyle.errors import EngineError

PARTS: Mapping[str, tuple[str, str]] = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "tokenizer_2": ("transformers", "CLIPTokenizer"),
}
"""Library and class of each part of the base, as ``model_index.json`` names them."""
TEXT_PARTS = ("text_encoder", "text_encoder_2")
TOKENIZERS = ("tokenizer", "tokenizer_2")

# Keys by which a config would make the libraries load something other than these classes and these weights.
_FORBIDDEN = ("quantization_config", "auto_map", "attn_implementation", "_attn_implementation")
_OTHER_PIPELINES = {
    "StableDiffusionPipeline": "Stable Diffusion 1 or 2",
    "StableDiffusion3": "Stable Diffusion 3",
    "Flux": "Flux",
    "Kolors": "Kolors",
    "PixArt": "PixArt",
    "StableCascade": "Stable Cascade",
}
# What a single file is when it is not an SDXL checkpoint, by names that only it has.
_OTHER_FILES = (
    ("lora_unet_", "a LoRA; name it under [[diffusion.loras]]"),
    ("lora_te", "a LoRA; name it under [[diffusion.loras]]"),
    ("cond_stage_model.transformer.", "a Stable Diffusion 1 checkpoint"),
    ("cond_stage_model.model.", "a Stable Diffusion 2 checkpoint"),
    ("model.diffusion_model.joint_blocks.", "a Stable Diffusion 3 checkpoint"),
    ("joint_blocks.", "a Stable Diffusion 3 checkpoint"),
    ("model.diffusion_model.double_blocks.", "a Flux checkpoint"),
    ("double_blocks.", "a Flux checkpoint"),
    ("single_transformer_blocks.", "a Flux transformer"),
    ("control_model.", "a ControlNet; name it under [diffusion.nets]"),
    ("controlnet_cond_embedding.", "a ControlNet; name it under [diffusion.nets]"),
    ("down_blocks.", "a UNet alone, without text encoders; name the folder it belongs to"),
    ("encoder.", "a VAE alone; name it as the style's vae"),
)
_SINGLE_PARTS = {
    "unet": ("model.diffusion_model.input_blocks.", "UNet"),
    "text_encoder": ("conditioner.embedders.0.transformer.", "first text encoder"),
    "text_encoder_2": ("conditioner.embedders.1.model.", "second text encoder"),
    "vae": ("first_stage_model.", "VAE"),
}
_SD1_SCALE = 0.18215


def read_index(folder: Path) -> dict[str, Any]:
    """Read and check the ``model_index.json`` of a diffusers folder.

    Raises:
        EngineError: it is no such folder, of another model, or it names classes that SDXL does not have.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        raise EngineError(f"{folder}: no model_index.json in it, so it is no diffusers folder of a base model")
    index = read_json(path)
    name = str(index.get("_class_name"))
    if not name.startswith("StableDiffusionXL"):
        other = next((told for start, told in _OTHER_PIPELINES.items() if name.startswith(start)), None)
        raise EngineError(
            f"{folder}: {f'is {other}' if other else f'its pipeline is a {name[:60]}'}, and the base has to be SDXL"
        )
    first = index.get("text_encoder")
    if index.get("requires_aesthetics_score") or first is None or first == [None, None]:
        raise EngineError(
            f"{folder}: is SDXL's refiner, which only finishes the pictures of another model; name an SDXL base"
        )
    for part, expected in PARTS.items():
        named = index.get(part)
        if named != list(expected) and named != [expected[0], expected[1] + "Fast"]:
            raise EngineError(f"{path}: {part} is {_shown(named)}, and SDXL's is {list(expected)}")
    return index


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """Read and check the config of one part in a diffusers folder."""
    path = folder / part / "config.json"
    if not path.is_file():
        raise EngineError(f"{path}: missing; the folder's download is incomplete")
    config = read_json(path)
    named = config.get("_class_name") or next(iter(config.get("architectures") or []), PARTS[part][1])
    if named != PARTS[part][1]:
        raise EngineError(f"{path}: is of a {_shown(named)}, and SDXL's {part} is a {PARTS[part][1]}")
    check_config(path, config)
    return config


def check_config(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a config that asks for more than a plain model of these classes, or for one without end."""
    if odd := [key for key in _FORBIDDEN if config.get(key) is not None]:
        raise EngineError(f"{path}: {odd[0]} is not supported; take the plain fp16 or fp32 model")
    for key, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number > (100 if "layer" in key else 1_000_000):
                raise EngineError(f"{path}: {key} is {number}, which no SDXL has")


def read_scheduler(folder: Path) -> dict[str, Any]:
    """Read the noise schedule that a base was trained with; it has to predict the noise."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = read_json(path) if path.is_file() else None
    if config is None:
        raise EngineError(f"{path}: missing; the folder's download is incomplete")
    kind, predicts = str(config.get("_class_name", "")), config.get("prediction_type", "epsilon")
    if predicts != "epsilon":
        raise EngineError(
            f"{path}: the model predicts '{_shown(predicts)}'; only models that predict the noise are supported"
        )
    if kind.startswith("EDM") or config.get("rescale_betas_zero_snr"):
        raise EngineError(
            f"{path}: the model was trained on another noise schedule than SDXL's, which is not supported"
        )
    return config


def check_widths(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parts that do not belong together, and UNets that want more than latents, prompt and size."""
    unet, first, second = (configs[part] for part in ("unet", *TEXT_PARTS))
    taken = unet.get("in_channels", 4)
    if taken != 4:
        raise EngineError(
            f"{folder}: its UNet takes {taken} channels instead of 4: an inpainting or editing model, not a base"
        )
    if unet.get("time_cond_proj_dim") is not None:
        raise EngineError(f"{folder}: a whole LCM model is not supported; use SDXL with the LCM LoRA (profile 'lcm-8')")
    width = first.get("hidden_size", 512) + second.get("hidden_size", 512)
    if unet.get("cross_attention_dim") != width:
        raise EngineError(
            f"{folder}: its UNet reads prompts {unet.get('cross_attention_dim')} wide, its text encoders write {width}"
        )
    if "vae" in configs:
        check_vae(folder, configs["vae"])


def check_vae(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse VAEs whose latents SDXL does not understand; their weights have the same shapes."""
    scale = config.get("scaling_factor", _SD1_SCALE)
    if scale == _SD1_SCALE:
        raise EngineError(
            f"{folder}: its scaling_factor {_SD1_SCALE} is that of Stable Diffusion 1's VAE; name one for SDXL"
        )
    if config.get("latent_channels", 4) != 4 or config.get("latents_mean") is not None:
        raise EngineError(f"{folder}: is a VAE of another model than SDXL")
    if len(config.get("block_out_channels", ())) != 4:
        raise EngineError(f"{folder}: is a VAE that does not shrink by 8, as SDXL's does")


def check_single(path: Path, header: Header, parts: tuple[str, ...]) -> None:
    """Refuse a single file that is no SDXL checkpoint, saying what it is.

    Args:
        path: the file.
        header: of the file.
        parts: those of the base that are wanted from it.
    """
    starts = {
        part: any(name.startswith(start) for name in header.tensors) for part, (start, _) in _SINGLE_PARTS.items()
    }
    if not starts["text_encoder_2"]:
        if any(name.startswith("conditioner.embedders.0.model.") for name in header.tensors):
            raise EngineError(
                f"{path}: is SDXL's refiner, which only finishes the pictures of another model; name an SDXL base"
            )
        for start, told in _OTHER_FILES:
            if any(name.startswith(start) for name in header.tensors):
                raise EngineError(f"{path}: is no SDXL checkpoint but {told}")
    for part in parts:
        if not starts[part]:
            raise EngineError(
                f"{path}: holds no {_SINGLE_PARTS[part][1]}; take the full SDXL checkpoint, or a diffusers folder"
            )
        start = _SINGLE_PARTS[part][0]
        for name, info in header.tensors.items():
            if name.startswith(start) and info.dtype not in FLOATS and not name.endswith("position_ids"):
                raise EngineError(f"{path}: is quantised ({name} is {info.dtype}); take the model's fp16 or fp32 file")
    if odd := next((name for name in ("v_pred", "edm_mean", "edm_vpred.sigma_max") if name in header.tensors), None):
        raise EngineError(
            f"{path}: the tensor '{odd}' marks a model that does not predict the noise, which is not supported"
        )


def build(name: str, config: Mapping[str, Any], what: str) -> Any:
    """Build a model of diffusers or transformers on the meta device: shapes, no memory."""
    import diffusers
    import torch
    import transformers

    with translated(what), quiet(), torch.device("meta"):
        if name.startswith("CLIP"):
            return getattr(transformers, name)(transformers.CLIPTextConfig(**config))
        return getattr(diffusers, name).from_config(dict(config))


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """List the shapes of a model's tensors by name."""
    return {plain_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def plain_name(name: str) -> str:
    """Drop the prefix that text encoders have in published folders and in older versions of transformers."""
    return name.removeprefix("text_model.")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and advice from the terminal."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = []
    for logging in (diffusers_logging, transformers_logging):
        before.append((logging, logging.get_verbosity(), logging.is_progress_bar_enabled()))
        logging.set_verbosity(50)
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging, verbosity, bars in before:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise over foreign files into one line."""
    try:
        yield
    except (EngineError, MemoryError):
        raise
    except Exception as error:  # every class of error has been seen here, KeyError and TypeError too
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = f"{reason} is missing" if isinstance(error, KeyError) else reason
        raise EngineError(f"{what}: cannot be loaded ({reason[:200]})") from error


def _shown(value: Any) -> str:
    return str(value)[:80]
