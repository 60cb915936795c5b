"""What a setting may be, in words, from the rules that it is checked by."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from mapstyle.engines.painter.pen.nib import Levelled
from mapstyle.engines.painter.recipe import MEDIA
from mapstyle.engines.painter.wash.pigment import ByLevel

_BY_LEVEL = [rule for kind in (ByLevel, Levelled) for rule in kind.__metadata__]  # type: ignore[attr-defined]
_SHOWN = 12
"""Choices that are listed; of more, the first few and how many there are."""


def range_of(model: type[BaseModel], key: str, value: object) -> str:
    """Say what a setting of a table may be, as in '0 to 3' or 'lines | dots'."""
    if key == "medium":
        return " | ".join(MEDIA)
    if any(rule in _BY_LEVEL for rule in model.model_fields[key].metadata):
        return "a number, or [[level, number], ...]"
    schema = _schema(model)
    rule = schema.get("properties", {}).get(key, {})
    colour = _holds_colour(value) or _holds_colour(rule.get("default"))
    return _words(rule, schema.get("$defs", {}), colour)


@lru_cache(maxsize=512)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except Exception:  # a rule that JSON cannot say: the description still does
        return {}


def _holds_colour(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"#[0-9a-fA-F]{6}", value) is not None
    if isinstance(value, Mapping):
        return any(_holds_colour(v) for v in value.values())
    return isinstance(value, (list, tuple)) and any(_holds_colour(v) for v in value)


def _words(rule: Mapping[str, Any], known: Mapping[str, Any], colour: bool) -> str:
    if "$ref" in rule:
        rule = {**known.get(rule["$ref"].rpartition("/")[2], {}), **{k: v for k, v in rule.items() if k != "$ref"}}
    if "anyOf" in rule:
        parts = [_words(r, known, colour) for r in rule["anyOf"] if r.get("type") != "null"]
        return " or ".join(dict.fromkeys(p for p in parts if p)) + (
            " or left out" if any(r.get("type") == "null" for r in rule["anyOf"]) else ""
        )
    if "const" in rule:
        return f"always {rule['const']}"
    if "enum" in rule:
        names = [str(v) for v in rule["enum"]]
        return " | ".join(names[:_SHOWN]) + (f" ... ({len(names)} choices)" if len(names) > _SHOWN else "")
    kind = rule.get("type")
    if kind == "boolean":
        return "true | false"
    if kind in ("number", "integer"):
        return _span(rule, "number" if kind == "number" else "whole number")
    if kind == "string":
        return "#rrggbb" if colour else "text"
    if kind == "array":
        return _list(rule, known, colour)
    if kind == "object" and isinstance(rule.get("additionalProperties"), Mapping):
        keys = _words(rule.get("propertyNames", {}), known, False)
        inner = _words(rule["additionalProperties"], known, colour)
        whose = f" of {keys}" if "|" in keys else ""
        return f"table{whose}" + (f", each {inner}" if inner else "")
    if kind == "object":
        return "table"
    return ""


def _span(rule: Mapping[str, Any], noun: str) -> str:
    low, high = rule.get("minimum"), rule.get("maximum")
    above, under = rule.get("exclusiveMinimum"), rule.get("exclusiveMaximum")
    whole = ", whole" if noun.startswith("whole") else ""
    step = f", in steps of {rule['multipleOf']:g}" if "multipleOf" in rule else ""
    if high is None and under is not None:
        high = f"below {under:,}".replace(",", " ") if under > 9999 else f"below {under:g}"
    elif high is not None:
        high = f"{high:g}"
    start = f"{low:g}" if low is not None else f"above {above:g}" if above is not None else None
    if start is not None and high is not None:
        return f"{start} to {high}{whole}{step}"
    if start is not None:
        return f"{start if above is not None else f'from {start}'}{whole}{step}"
    if high is not None:
        return f"at most {high}{whole}{step}"
    return noun + step


def _list(rule: Mapping[str, Any], known: Mapping[str, Any], colour: bool) -> str:
    if "prefixItems" in rule:
        parts = [_words(r, known, colour) for r in rule["prefixItems"]]
        if len(set(parts)) == 1:
            return f"{len(parts)} {_several(parts[0])}"
        return f"[{', '.join(parts)}]"
    each = rule.get("items", {})
    inner = _words(each, known, colour)
    if "prefixItems" in each:
        inner = "[" + ", ".join(_words(r, known, colour) for r in each["prefixItems"]) + "]"
    low, high = rule.get("minItems"), rule.get("maxItems")
    if low and low == high:
        return f"{low} {_several(inner)}"
    many = f", at least {low}" if low else ""
    return f"list of {_several(inner)}{many}" if inner else "list"


def _several(noun: str) -> str:
    """Give the plural of what a list holds."""
    return {"number": "numbers", "whole number": "whole numbers", "text": "texts", "#rrggbb": "colours #rrggbb"}.get(
        noun, noun
    )
