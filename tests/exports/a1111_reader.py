"""Two readers of A1111's ``parameters``, written from the published form alone: nothing here knows our writer."""

import json
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Told:
    """What a reader understood."""

    prompt: str = ""
    negative: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, float] = field(default_factory=dict)


def as_a1111(text: str) -> Told:
    """Read as A1111 does: the last line is the details, quoted values are JSON strings."""
    *lines, last = text.strip().split("\n")
    told = Told()
    negative = False
    for line in lines:
        line = line.strip()
        if line.startswith("Negative prompt:"):
            negative, line = True, line.removeprefix("Negative prompt:").strip()
        if negative:
            told.negative = f"{told.negative}\n{line}" if told.negative else line
        else:
            told.prompt = f"{told.prompt}\n{line}" if told.prompt else line
    decoder, at = json.JSONDecoder(), 0
    while at < len(last):
        key, _, _ = last[at:].partition(":")
        at += len(key) + 2
        if last[at : at + 1] in ('"', "{", "["):
            value, at = decoder.raw_decode(last, at)
        else:
            end = last.find(",", at)
            end = len(last) if end < 0 else end
            value, at = last[at:end], end
        assert last[at : at + 2] in (", ", ""), last[at:]
        at += 2
        told.details[key.strip()] = value
    told.hashes = told.details.pop("Hashes", {})
    told.resources = told.details.pop("Civitai resources", [])
    return told


def as_civitai(text: str) -> Told:
    """Read as CivitAI does (its rules of 2026): quotes merely toggle, and hold names and values of their own."""
    assert "Steps: " in text
    told = Told()
    lines = [line for line in text.split("\n") if line.strip()]
    for key in ("Template: ", "Negative Template: "):
        while found := [line for line in lines if line.startswith(key)]:
            lines.remove(found[0])
    line = next(line for line in lines if line.startswith("Steps: "))
    lines.remove(line)
    for key in ("Resources: ", "Hashed prompt: ", "Hashed Negative prompt: "):
        line = line.split(key)[0]
    if found := re.search(r", Hashes:\s*({[^}]+})", line):
        told.hashes = json.loads(found[1])
        line = line.replace(found[0], "", 1)
    if found := re.search(r", Civitai resources:\s*(\[\{.*?\}\])", line):
        told.resources = json.loads(found[1])
        assert all(isinstance(r["modelVersionId"], int) for r in told.resources), "or it drops everything"
        line = line.replace(found[0], "", 1)
    told.details = _toggled(line)
    prompt, *rest = "\n".join(lines).split("Negative prompt:")
    told.prompt, told.negative = prompt.strip(), " ".join(p.strip() for p in rest).strip()
    told.tags = {name: float(w) for name, w in re.findall(r"<lora:([a-zA-Z0-9_.\-]+):([0-9.]+)>", prompt)}
    for name, value in told.details.get("Lora hashes", {}).items():
        told.hashes[f"lora:{name}"] = value
    assert isinstance(told.details.get("Model", ""), str), "or it drops everything"
    return told


def _toggled(line: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    key = value = ""
    inside = False
    for letter in line:
        if letter == '"':
            if inside:
                told[key], key = _toggled(value.strip()), ""
            inside = not inside
        elif letter == ":" and not inside:
            key, value = value.strip(), ""
        elif letter == "," and not inside:
            if key:
                told[key] = value.strip()
            key = value = ""
        else:
            value += letter
    if key:
        told[key] = value.strip()
    return told
