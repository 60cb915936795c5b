"""What a model made, in the words of A1111's ``parameters``, which CivitAI and most viewers read.

The form is nobody's standard; these are the rules of its two chief readers, A1111's ``infotext_utils.py`` and
CivitAI's ``automatic.metadata.ts``, and what is written here satisfies both:

* the prompts come first; the last line begins with ``Steps: ``; JSON comes at its end, after ``, ``;
* A1111 quotes a value that holds ``,`` ``:`` or a line break as JSON does, but CivitAI knows no escapes, reads
  what is in quotes as further names and values, and drops all it has read when a model's name is none: so names
  go without those characters, as A1111 itself does with a LoRA's;
* ``Civitai resources`` is the one place for a negative weight, and an entry without its number there makes
  CivitAI drop everything: a LoRA without one has its signed weight in ``Lora weights`` only, which is ours.
"""

import json
import re
from collections.abc import Iterator

from mapstyle.making import Making, WeightUsed

_TAG_NAME = re.compile(r"[a-zA-Z0-9_.-]+")
_CIVITAI_TYPES = {"base": "checkpoint", "vae": "vae", "controlnet": "controlnet", "lora": "lora"}


def a1111_parameters(making: Making, width: int, height: int, software: str) -> str:
    """Tell how a picture of so many pixels was made, in the form that A1111 writes and CivitAI reads."""
    loras = [w for w in making.weights if w.role == "lora"]
    lines = [" ".join([_prompt(making.prompt), *_tags(loras)]).strip()]
    if negative := _prompt(making.negative):
        lines.append(f"Negative prompt: {negative}")
    lines.append(", ".join(f"{key}: {value}" for key, value in _details(making, loras, width, height, software)))
    return "\n".join(lines)


def clean(text: str) -> str:
    """Replace what a text chunk, an EXIF block or XML cannot hold: control characters and half surrogate pairs."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)
    return re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _prompt(text: str) -> str:
    """Give a prompt as one line that no reader takes for anything else.

    The tokenizer of CLIP takes any white space for one space, and keeps letters and signs apart: neither the
    lost line breaks nor a space before a sign change what the model was told.
    """
    text = " ".join(clean(text).split())
    text = re.sub(r"(negative prompt):", r"\1 :", text, flags=re.IGNORECASE)
    text = re.sub(r"^(steps|template|negative template):", r"\1 :", text, flags=re.IGNORECASE)
    return re.sub(r"<(?=(lora|hypernet):)", "< ", text, flags=re.IGNORECASE)


def _tags(loras: list[WeightUsed]) -> Iterator[str]:
    """Give ``<lora:NAME:WEIGHT>`` where the readers' expression knows it: no sign, no odd letters in the name."""
    for lora in loras:
        weight = _number(lora.weight)
        if _TAG_NAME.fullmatch(lora.name) and not weight.startswith("-") and weight not in ("", "0"):
            yield f"<lora:{lora.name}:{weight}>"


def _details(
    making: Making, loras: list[WeightUsed], width: int, height: int, software: str
) -> Iterator[tuple[str, str]]:
    base = next((w for w in making.weights if w.role == "base"), None)
    vae = next((w for w in making.weights if w.role == "vae"), None)
    yield "Steps", str(making.steps)
    yield "Sampler", _quote(making.sampler)
    if making.schedule:
        yield "Schedule type", _quote(making.schedule)
    yield "CFG scale", _number(making.cfg)
    yield "Seed", str(making.seed)
    yield "Size", f"{width}x{height}"
    for key, weight in (("Model", base), ("VAE", vae)):
        if weight is not None:
            if weight.autov2:
                yield f"{key} hash", weight.autov2
            yield key, _name(weight.name)
    yield "Denoising strength", _number(making.strength)
    for i, control in enumerate(making.controls):
        told = {
            "Module": "none",
            "Model": _name(str(control.get("weights") or control.get("net", ""))),
            "Weight": _number(control.get("scale")),
            "Guidance Start": _number(control.get("start")),
            "Guidance End": _number(control.get("end")),
        }
        yield f"ControlNet {i}", _quote(", ".join(f"{k}: {v}" for k, v in told.items() if v))
    for key, values in (
        ("Lora hashes", [(lora.name, lora.autov3) for lora in loras]),
        ("Lora weights", [(lora.name, _number(lora.weight)) for lora in loras]),
    ):
        if told_of := ", ".join(f"{_name(name)}: {value}" for name, value in values if value):
            yield key, _quote(told_of)
    yield "Version", _quote(clean(software))
    hashes = {"model": base.autov2 if base else "", "vae": vae.autov2 if vae else ""}
    hashes |= {f"lora:{_name(lora.name)}": lora.autov2 for lora in loras}
    if hashes := {name: value for name, value in hashes.items() if value}:
        yield "Hashes", json.dumps(hashes, ensure_ascii=False)
    resources = [_resource(weight) for weight in making.weights if weight.civitai is not None]
    if resources:
        yield "Civitai resources", json.dumps(resources, separators=(",", ":"))


def _resource(weight: WeightUsed) -> dict[str, str | float | int | None]:
    told: dict[str, str | float | int | None] = {"type": _CIVITAI_TYPES.get(weight.role, weight.role)}
    if weight.weight is not None:
        told["weight"] = round(weight.weight, 4)
    return {**told, "modelVersionId": weight.civitai}


def _name(name: str) -> str:
    """Give a name that needs no quotes, in a value or in JSON, under either reader."""
    name = re.sub(r"[:,]", "", clean(name))
    return " ".join(re.sub(r'["\\{}\[\]<>]', "_", name).split()) or "_"


def _number(value: float | None) -> str:
    """Give a number without an exponent, four places at most; empty for None."""
    if value is None:
        return ""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text
