"""Names of fusion models: ``family:target?option=value``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import FusionError
from ..options import find_loader, loader_options
from .albef_model import load_albef
from .blip import load_blip
from .generative import load_generative
from .lxmert import load_lxmert
from .seam import FusionModel
from .vilt import load_vilt

FORMS = (
    "lxmert:NAME-OR-PATH",
    "albef:PATH",
    "blip:NAME-OR-PATH",
    "vilt:NAME-OR-PATH?revision=COMMIT",
    "generative:NAME-OR-PATH",
)
OBJECTS = ("answers", "regions", "tokenizer")  # values that are no text


def load_fusion(name: str, **options: Any) -> FusionModel:
    """The fusion model that a name stands for, in float32 and evaluation mode.

    Parameters
    ----------
    name : str
        Family, colon, and a local folder or a hub repository; options follow a question mark.
    **options
        The same options as keywords: ``revision``, ``device``, ``batch_size``, ``max_length``, ``pickled`` (read a
        pickled checkpoint where there is no safetensors file; off by default); for ``lxmert`` ``regions`` (what turns
        images into `RegionFeatures`, or a file) and ``answers`` (those of the head where the checkpoint does not name
        them: a list or a file); for ``albef`` ``tokenizer``; for ``generative`` ``max_new_tokens``.

    Raises
    ------
    FusionError
        The name or an option is not understood, the checkpoint is of another family, or it cannot be loaded.
    MissingExtraError
        transformers or torch is not installed.

    Examples
    --------
    >>> load_fusion("bilp:Salesforce/blip-itm-base-coco")
    Traceback (most recent call last):
    ...
    fairvl.errors.FusionError: fusion model name 'bilp:Salesforce/blip-itm-base-coco' is not understood. Did you mean \
'blip'? Expected one of: lxmert:NAME-OR-PATH; albef:PATH; blip:NAME-OR-PATH; vilt:NAME-OR-PATH?revision=COMMIT; \
generative:NAME-OR-PATH.
    """
    loader, target, query = find_loader(name, "fusion model", _LOADERS, FORMS, FusionError)
    given = {key: value for key, value in options.items() if value is not None}
    objects = {key: given.pop(key) for key in OBJECTS if key in given and not isinstance(given[key], str)}
    checked = loader_options(name, query, {**given, **dict.fromkeys(objects, "")}, loader, FusionError)
    return loader(target, **{**checked, **objects})


_LOADERS: dict[str, Callable[..., FusionModel]] = {
    "lxmert": load_lxmert,
    "albef": load_albef,
    "blip": load_blip,
    "vilt": load_vilt,
    "generative": load_generative,
}
