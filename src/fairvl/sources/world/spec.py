"""What a world plants, as numbers: every strength explicit, everything JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import InputError
from .words import ATTRIBUTES, FEMALE_OCCUPATIONS, MALE_OCCUPATIONS


@dataclass(frozen=True)
class Plant:
    """A planted dependence: where `given` has a value named in `prefer`, `attribute` is pulled to the preferred values.

    ``P(attribute | given) = (1 - strength) * P(attribute) + strength * uniform(preferred values)``. With two equally
    frequent halves that is ``P(preferred) = 0.5 + strength / 2``.

    Parameters
    ----------
    given, attribute : str
        Names of two categorical attributes.
    strength : float in [0, 1]
    prefer : mapping of str to sequence of str
        Value of `given` -> preferred values of `attribute`. Values of `given` that are left out are not pulled.
    """

    given: str
    attribute: str
    strength: float
    prefer: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        _known(self.given)
        _known(self.attribute)
        _share("strength", self.strength)
        if self.given == self.attribute:
            raise InputError(f"a plant needs two different attributes; found {self.given!r} twice")
        for value, preferred in self.prefer.items():
            _known(self.given, value)
            if not preferred:
                raise InputError(f"the plant {self.given} -> {self.attribute} prefers nothing for {value!r}")
            for other in preferred:
                _known(self.attribute, other)
        object.__setattr__(self, "prefer", {value: tuple(names) for value, names in self.prefer.items()})


@dataclass(frozen=True)
class Wording:
    """Pleasant and unpleasant words in captions: ``P(pleasant | group in pleasant) = 0.5 + strength / 2``.

    The other groups of `attribute` get ``0.5 - strength / 2``. No picture shows whether its word is pleasant, but by
    the group.

    `spread` is the standard deviation of the single words' own lean to either side, as a log odds ratio. It is balanced
    within each kind, so it moves no kind: without it all words of a kind lean alike, and a standardised effect size is
    near its ceiling at any strength above 0.
    """

    attribute: str = "gender"
    pleasant: tuple[str, ...] = ("female",)
    strength: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        _share("strength", self.strength)
        if not 0 <= self.spread <= 10:
            raise InputError(f"the spread of a wording is {self.spread!r}; it must lie in [0, 10]")
        object.__setattr__(self, "pleasant", tuple(self.pleasant))
        for value in self.pleasant:
            _known(self.attribute, value)


@dataclass(frozen=True)
class WorldSpec:
    """Everything that a world plants. Draws depend on (spec, seed, split) and nothing else.

    Parameters
    ----------
    plants : sequence of Plant
        Dependences between attributes; they must not form a circle.
    shares : mapping
        Attribute -> {value: share}; attributes left out are uniform.
    wording : Wording
        Which group the pleasant words go to, and how strongly.
    explicit : mapping
        Gender -> share of captions that name the gender, for captions where it may be named.
    mood : float in [0, 1]
        Strength of the control family (flowers with lovely words, litter with grim ones); no social content.
    duplicate_of : str, duplicates : mapping
        Attribute, and its value -> share of pictures that are near-copies of another picture of the same group.
    label_noise : mapping
        Attribute -> share of recorded labels replaced by another value (the picture and the truth keep the right one).
    occlusion : float in [0, 1]
        Probability that the clothing is covered; the held object is missing as often, independently.
    variation : float in [0, 1]
        How far position, scale and tilt vary; the default 1 is what keeps thumbnails silent.
    size : int
        Side of the pictures in pixels.

    Examples
    --------
    >>> spec = WorldSpec.biased(0.8)
    >>> spec.plants[0].strength, spec.wording.strength
    (0.8, 0.8)
    >>> WorldSpec.from_dict(spec.as_dict()) == spec
    True
    """

    plants: tuple[Plant, ...] = ()
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    wording: Wording = field(default_factory=Wording)
    explicit: Mapping[str, float] = field(default_factory=lambda: {"female": 0.45, "male": 0.45})
    mood: float = 0.9
    duplicate_of: str = "gender"
    duplicates: Mapping[str, float] = field(default_factory=dict)
    label_noise: Mapping[str, float] = field(default_factory=dict)
    occlusion: float = 0.5
    variation: float = 1.0
    size: int = 48

    def __post_init__(self) -> None:
        object.__setattr__(self, "plants", tuple(self.plants))
        for name, shares in self.shares.items():
            for value, share in shares.items():
                _known(name, value)
                _share(f"shares[{name}][{value}]", share)
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise InputError(f"the shares of {name!r} sum to {sum(shares.values()):g}; they must sum to 1")
        for value, rate in self.explicit.items():
            _known("gender", value)
            _share(f"explicit[{value}]", rate)
        for value, rate in self.duplicates.items():
            _known(self.duplicate_of, value)
            _share(f"duplicates[{value}]", rate)
        for name, rate in self.label_noise.items():
            _known(name)
            _share(f"label_noise[{name}]", rate)
        _share("mood", self.mood)
        _share("occlusion", self.occlusion)
        _share("variation", self.variation)
        if not 32 <= self.size <= 512:
            raise InputError(f"pictures are {self.size} pixels wide; choose a size from 32 to 512")
        self.order()

    @classmethod
    def biased(cls, strength: float = 0.8, **changes: Any) -> WorldSpec:
        """The default biased world: gender with occupation, and gender with pleasant words; nothing else."""
        jobs = {"male": MALE_OCCUPATIONS, "female": FEMALE_OCCUPATIONS}
        plant = Plant("gender", "occupation", strength, jobs)
        return cls(plants=(plant,), wording=Wording("gender", ("female",), strength), **changes)

    def order(self) -> tuple[str, ...]:
        """The attributes, each after everything that pulls it."""
        waiting, done = list(ATTRIBUTES), list[str]()
        while waiting:
            free = [name for name in waiting if all(p.given in done for p in self.plants if p.attribute == name)]
            if not free:
                raise InputError(f"the plants form a circle among {waiting}; take one of them out")
            done.append(free[0])
            waiting.remove(free[0])
        return tuple(done)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorldSpec:
        """The inverse of `as_dict`."""
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(f"unknown world settings {sorted(unknown)}; known: {sorted(cls.__dataclass_fields__)}")
        values = dict(data)
        if "plants" in values:
            values["plants"] = tuple(p if isinstance(p, Plant) else Plant(**p) for p in values["plants"])
        if isinstance(values.get("wording"), Mapping):
            values["wording"] = Wording(**values["wording"])
        return cls(**values)


def _known(name: str, value: str | None = None) -> None:
    if name not in ATTRIBUTES:
        raise InputError(f"the world has no attribute {name!r}; it has {list(ATTRIBUTES)}")
    if value is not None and value not in ATTRIBUTES[name]:
        raise InputError(f"the attribute {name!r} has no value {value!r}; it has {list(ATTRIBUTES[name])}")


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}; it must lie in [0, 1]")
