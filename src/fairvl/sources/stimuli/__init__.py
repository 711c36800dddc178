"""Registries of association tests: which stimuli meet in which test, in four orders of modalities."""

from .manifests import stimuli_manifest as stimuli_manifest
from .reading import list_registries as list_registries
from .reading import load_registry as load_registry
from .registry import ORDERS as ORDERS
from .registry import Case as Case
from .registry import Registry as Registry
from .registry import StimulusSet as StimulusSet
from .registry import image_key as image_key
from .registry import text_key as text_key

__all__ = [
    "ORDERS",
    "Case",
    "Registry",
    "StimulusSet",
    "image_key",
    "list_registries",
    "load_registry",
    "stimuli_manifest",
    "text_key",
]
