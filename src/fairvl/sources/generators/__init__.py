"""Text-to-image models behind one seam: prompts and seeds in, images out, and a card that says what made them."""

from .diffusers_pipelines import DiffusersGenerator as DiffusersGenerator
from .names import load_generator as load_generator
from .prompts import read_prompts as read_prompts
from .run import generate as generate
from .seam import Generator as Generator
from .seam import GeneratorCard as GeneratorCard
from .seam import PromptLengthWarning as PromptLengthWarning

__all__ = [
    "DiffusersGenerator",
    "Generator",
    "GeneratorCard",
    "PromptLengthWarning",
    "generate",
    "load_generator",
    "read_prompts",
]
