"""The built-in world with planted, known bias: a test instrument, not a stand-in for people."""

from .captions import write_captions
from .dataset import WorldPortraits, portraits_dataset
from .generator import Portraits, portrait_blocks, portraits
from .spec import Plant, Wording, WorldSpec

__all__ = [
    "Plant",
    "Portraits",
    "Wording",
    "WorldPortraits",
    "WorldSpec",
    "portrait_blocks",
    "portraits",
    "portraits_dataset",
    "write_captions",
]
