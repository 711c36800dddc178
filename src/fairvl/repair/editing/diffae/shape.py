"""The sizes of a diffusion autoencoder, as plain values, and the named configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ....errors import InputError

Objective = Literal["v", "eps"]


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the tensors of a model and what its output means.

    Attributes
    ----------
    size : int
        Side of the images.
    family : "patched" or "published"
        Our own small network, or the architecture of the published checkpoints.
    patch : int
        Pixels per side that become channels of one place (patched only).
    width : int
        Channels of the first level.
    multipliers, encoder_multipliers : tuple of int
        Channels of each level, in units of `width`.
    blocks : int
        Residual blocks per level.
    attention : tuple of int
        Sides (in places) at which levels attend to themselves (published only).
    code : int
        Length of the semantic code.
    objective : "v" or "eps"
        What the network predicts.
    timesteps, beta
        Steps of the forward process, and the first and last of its linear variances.
    latent_width, latent_layers : int
        Of the network that draws codes.
    dropout : float
        In training.

    Examples
    --------
    >>> Shape.from_dict(CONFIGURATIONS["faces-32"].as_dict()) == CONFIGURATIONS["faces-32"]
    True
    """

    size: int
    family: Literal["patched", "published"] = "patched"
    patch: int = 4
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    encoder_multipliers: tuple[int, ...] = (1, 2, 3)
    blocks: int = 2
    attention: tuple[int, ...] = ()
    code: int = 32
    objective: Objective = "v"
    timesteps: int = 1000
    beta: tuple[float, float] = (1e-4, 0.02)
    latent_width: int = 256
    latent_layers: int = 4
    dropout: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("multipliers", "encoder_multipliers", "attention", "beta"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.family not in ("patched", "published") or self.objective not in ("v", "eps"):
            raise InputError(
                f"family={self.family!r}, objective={self.objective!r}; expected 'patched' or 'published', and 'v' or "
                "'eps'."
            )
        least = {"size": 8, "patch": 1, "width": 8, "blocks": 1, "code": 2, "timesteps": 2, "latent_width": 8}
        for name, low in {**least, "latent_layers": 2}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise InputError(f"{name}={value!r}; expected a whole number from {low}.")
        halvings = len(self.multipliers) - 1
        unit = (self.patch if self.family == "patched" else 1) * 2**halvings
        if not self.multipliers or not self.encoder_multipliers or self.size % unit:
            raise InputError(f"size={self.size} with {halvings} halvings; expected a multiple of {unit}.")
        if self.family == "patched" and self.size % 2 ** len(self.encoder_multipliers):
            raise InputError(f"size={self.size}; the encoder halves it {len(self.encoder_multipliers)} times.")
        if not 0 < self.beta[0] <= self.beta[1] < 1 or not 0 <= self.dropout < 1:
            raise InputError(f"beta={self.beta}, dropout={self.dropout}; expected variances and a share in (0, 1).")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Shape:
        """The inverse of `as_dict`."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown or "size" not in values:
            raise InputError(f"diffusion autoencoder settings: unknown {unknown}, or no size; found {sorted(values)}.")
        return cls(**values)


def _published(size: int, width: int, down: tuple[int, ...], code: tuple[int, ...]) -> Shape:
    return Shape(
        size=size, family="published", patch=1, width=width, multipliers=down, encoder_multipliers=code, blocks=2,
        attention=(16,), code=512, objective="eps", latent_width=2048, latent_layers=10, dropout=0.1,
    )  # fmt: skip


CONFIGURATIONS: Mapping[str, Shape] = MappingProxyType(
    {
        "faces-32": Shape(size=32, width=48, blocks=1),
        "drawings-64": Shape(size=64, width=64, multipliers=(1, 2), encoder_multipliers=(1, 2, 3, 4), code=48),
        "published-64": _published(64, 64, (1, 2, 4, 8), (1, 2, 4, 8, 8)),
        "published-128": _published(128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4)),
        "published-256": _published(256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4)),
    }
)
"""`faces-32` is the world's; `published-N` are the sizes of the published models (attention at 16 x 16 places)."""


def configuration(name: str | Shape) -> Shape:
    """The shape of a name in `CONFIGURATIONS`, or the shape itself."""
    if isinstance(name, Shape):
        return name
    if name not in CONFIGURATIONS:
        raise InputError(f"configuration {name!r}; expected one of {', '.join(CONFIGURATIONS)}, or a Shape.")
    return CONFIGURATIONS[name]
