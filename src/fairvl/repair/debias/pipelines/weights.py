"""The first linear maps after the text states: what a closed form on weights changes, and what baking folds into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....errors import OperatorError
from .sites import Site, sites_of

WHICH = ("key", "value")


def text_maps(pipeline: Any, weights: Sequence[str] = WHICH) -> dict[str, Any]:
    """Linear layers that take token states, by name: cross-attention keys and values, or a context embedder.

    The token states of all towers come side by side in their input (XL), so that the layers of a UNet share one input
    space; SD3 and Flux have one layer, the context embedder.

    Raises
    ------
    OperatorError
        An unknown pipeline, or no such layers in it.
    """
    sites_of(pipeline)
    if set(weights) - set(WHICH) or not weights:
        raise OperatorError(f"weights {tuple(weights)}; expected 'key', 'value' or both.")
    unet = getattr(pipeline, "unet", None)
    if unet is None:
        return {"context_embedder": pipeline.transformer.context_embedder}
    if getattr(unet, "encoder_hid_proj", None) is not None:
        raise OperatorError(
            f"{type(unet).__name__} projects text states before cross-attention; that is not supported."
        )
    ends = tuple(f"attn2.to_{which[0]}" for which in weights)
    found = {name: module for name, module in unet.named_modules() if name.endswith(ends)}
    if not found:
        raise OperatorError(f"{type(unet).__name__}: no cross-attention layers (attn2) to change.")
    return found


def token_sites(pipeline: Any) -> tuple[Site, ...]:
    """Sites whose states stand side by side in the input of `text_maps`.

    Raises
    ------
    OperatorError
        SD3 with T5: states of CLIP and of T5 go through one map as separate rows, not side by side.
    """
    sites = tuple(site for site in sites_of(pipeline) if not site.pooled)
    if any(site.block == "second" for site in sites):
        raise OperatorError(
            f"{type(pipeline).__name__} sends the states of CLIP and of T5 through one context embedder, as rows of "
            "two different spaces; a change of that map cannot mean the same for both. Attach operators instead, or "
            "load the pipeline without text_encoder_3."
        )
    return sites
