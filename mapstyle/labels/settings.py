"""The ``[labels]`` part of a style: type, colour and halo for each kind of label."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mapstyle.placed import LabelKind

REFERENCE_LEVEL = 14.0
"""Level at which the tables of sizes hold; ``growth`` counts from here."""
MAX_REPEAT = 480.0
"""Largest distance between repeats that a style may ask for, logical pixels; it bounds the reach of placement."""


class Family(StrEnum):
    """A family of type."""

    SANS = "sans"
    SERIF = "serif"


class Case(StrEnum):
    """How capitals are set."""

    NATURAL = "natural"
    UPPER = "upper"


def _colour(text: str) -> str:
    if len(text) != 7 or text[0] != "#" or any(c not in "0123456789abcdefABCDEF" for c in text[1:]):
        raise ValueError("a colour is written as '#rrggbb'")
    return text.lower()


def _sizes(table: tuple[float, ...]) -> tuple[float, ...]:
    if not table or any(not 6 <= s <= 96 for s in table):
        raise ValueError("type sizes lie between 6 and 96 pixels, one for each rank")
    return table


Colour = Annotated[str, AfterValidator(_colour)]


class TypeSettings(BaseModel):
    """How one kind of label is set. Tables by rank begin with rank 0; the last value serves all that follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shown: bool = Field(True, description="whether there are labels of this kind at all")
    family: Family = Field(Family.SANS, description="sans or serif")
    weight: int = Field(400, ge=200, le=900, description="200 extra light, 400 regular, 600 semibold, 900 black")
    italic: bool = Field(False, description="set in italics, where the script has them")
    size: Annotated[tuple[float, ...], AfterValidator(_sizes)] = Field(
        (12.0,), description="type size at level 14 by rank, logical pixels to the em"
    )
    growth: float = Field(0.35, ge=-2, le=4, description="pixels added to the size for each level above 14")
    smallest: float = Field(9.5, ge=6, le=96, description="no label is set smaller, logical pixels")
    largest: float = Field(30.0, ge=6, le=96, description="no label is set larger, logical pixels")
    colour: Colour = Field("#33312f", description="colour of the letters, #rrggbb")
    halo: float = Field(2.0, ge=0, le=6, description="width of the halo, logical pixels")
    light: float = Field(
        0.35, ge=0, le=1,
        description="how far the halo leaves the colour of the ground: 0 only as legibility needs, 1 to white or black",
    )  # fmt: skip
    case: Case = Field(Case.NATURAL, description="natural or upper")
    spacing: float = Field(0.0, ge=0, le=1, description="space added between letters, in ems")
    wrap: float = Field(9.0, ge=3, le=40, description="ems after which a name goes on in a second line")
    from_level: tuple[float, ...] = Field(
        (), description="level from which each rank is shown; empty leaves it to the data"
    )
    until_level: tuple[float, ...] = Field((), description="level from which each rank is shown no more")
    repeat: float = Field(
        250.0, ge=0, le=MAX_REPEAT, description="least distance between two labels of the same words, logical pixels"
    )  # fmt: skip
    mark: Colour | None = Field(None, description="colour of the little signs beside the words; none without")

    def type_size(self, rank: int, level: float) -> float:
        """Give the size of type at a level, in quarters of a logical pixel."""
        wanted = _at(self.size, rank) + self.growth * (level - REFERENCE_LEVEL)
        return round(min(max(wanted, self.smallest), self.largest) * 4) / 4

    def shows(self, rank: int, wanted_from: float, level: float) -> bool:
        """Tell whether a label is shown; ``wanted_from`` is what the data say."""
        start = _at(self.from_level, rank) if self.from_level else wanted_from
        end = _at(self.until_level, rank) if self.until_level else float("inf")
        return self.shown and start <= level < end


def _at(table: Sequence[float], rank: int) -> float:
    return table[min(max(rank, 0), len(table) - 1)]


_WATER = "#2b5f8a"

_DEFAULTS: Mapping[LabelKind, Mapping[str, Any]] = {
    LabelKind.PLACE: {
        "family": "serif", "weight": 600, "size": (24, 20, 17, 14.5, 12.5, 11.5), "growth": 0.8, "smallest": 10.5,
        "largest": 32, "colour": "#2c2833", "halo": 2.4, "wrap": 8, "repeat": 400,
        "until_level": (16, 16, 17, 18, 99), "mark": "#2c2833",
    },
    LabelKind.OCEAN: {
        "family": "serif", "italic": True, "size": (22, 19, 16, 14, 13), "growth": 0.8, "smallest": 11, "largest": 32,
        "colour": _WATER, "spacing": 0.12, "halo": 1.8, "light": 0.35, "wrap": 12, "repeat": 480,
    },
    LabelKind.WATER: {
        "family": "serif", "italic": True, "size": (17, 15, 13.5, 12.5, 11.5, 11), "growth": 0.5, "smallest": 10,
        "colour": _WATER, "spacing": 0.03, "halo": 1.8, "light": 0.35, "wrap": 8, "repeat": 300,
    },
    LabelKind.RIVER: {
        "family": "serif", "italic": True, "size": (14.5, 13, 12, 11.5), "growth": 0.4, "smallest": 10,
        "colour": _WATER, "spacing": 0.1, "halo": 1.8, "light": 0.35, "repeat": 360,
    },
    LabelKind.PARK: {
        "family": "sans", "italic": True, "size": (14, 13, 12, 11.5, 11, 10.5), "growth": 0.4, "smallest": 10,
        "colour": "#38602f", "halo": 1.8, "wrap": 7.5, "repeat": 300,
    },
    LabelKind.STREET: {
        "family": "sans", "size": (12, 12, 11.5, 11, 10.5, 10), "growth": 0.45, "smallest": 9.5, "largest": 17,
        "colour": "#3f3a36", "halo": 2.0, "spacing": 0.02, "repeat": 260,
    },
    LabelKind.POI: {
        "family": "sans", "size": (12, 11.5, 11, 10.5), "growth": 0.3, "smallest": 10, "largest": 15,
        "colour": "#4d352b", "halo": 1.9, "light": 0.45, "wrap": 8.5, "repeat": 200, "mark": "#87452f",
    },
    LabelKind.PEAK: {
        "family": "sans", "italic": True, "size": (13, 12.5, 12, 11.5, 11), "growth": 0.3, "smallest": 10,
        "largest": 16, "colour": "#513e2f", "halo": 1.8, "wrap": 8, "repeat": 200, "mark": "#6b4a32",
    },
}  # fmt: skip


def _default(kind: LabelKind) -> Any:
    return Field(default_factory=lambda: TypeSettings.model_validate(_DEFAULTS[kind]), description=f"{kind} labels")


class LabelSettings(BaseModel):
    """How words look on this map. A table ``[labels.all]`` speaks for every kind before its own table does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: float = Field(1.0, ge=0.5, le=2.5, description="factor on all sizes of type")
    gap: float = Field(4.0, ge=0, le=8, description="clear space kept around each label, logical pixels")
    place: TypeSettings = _default(LabelKind.PLACE)
    ocean: TypeSettings = _default(LabelKind.OCEAN)
    water: TypeSettings = _default(LabelKind.WATER)
    river: TypeSettings = _default(LabelKind.RIVER)
    park: TypeSettings = _default(LabelKind.PARK)
    street: TypeSettings = _default(LabelKind.STREET)
    poi: TypeSettings = _default(LabelKind.POI)
    peak: TypeSettings = _default(LabelKind.PEAK)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Lay what a style says over each kind's own defaults."""
        if not isinstance(given, Mapping):
            return given
        table = dict(given)
        common = table.pop("all", {})
        if not isinstance(common, Mapping):
            raise ValueError("[labels.all] is a table, such as colour = '#333333'")
        for kind in LabelKind:
            own = table.get(kind.value, {})
            if isinstance(own, Mapping):
                table[kind.value] = {**_DEFAULTS[kind], **common, **own}
        return table

    def of(self, kind: LabelKind) -> TypeSettings:
        """Give the settings of a kind."""
        found: TypeSettings = getattr(self, kind.value)
        return found

    def type_size(self, kind: LabelKind, rank: int, level: float) -> float:
        """Give the size of type of a label, logical pixels to the em."""
        return self.of(kind).type_size(rank, level) * self.scale
