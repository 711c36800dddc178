"""Where text enters a text-to-image pipeline: towers, layers, and the places of their states.

A *site* is one kind of text vector that the denoiser sees: the token states of a tower, or its pooled vector. Sites of
one pipeline have spaces of their own, so each takes an operator of its own. Nothing is imported here: a pipeline can
only come from a torch that is loaded.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError, OperatorError

IDS = NDArray[np.int64]
Family = tuple["Site", ...]


@dataclass(frozen=True)
class Site:
    """One kind of text vector of a pipeline.

    Attributes
    ----------
    name : str
        The tower, with ``.pooled`` for the pooled vector.
    tokenizer, prompt : str
        Component that cuts the prompt into tokens, and the argument of the call that holds the prompt.
    layer : {"last", "penultimate", "pooled", "projected"}
        Of the tower's hidden states, or which pooled vector.
    block : {"first", "second"}
        Rows of the prompt embeddings where the states of this tower begin; ``second`` follows those of CLIP (SD3).
    """

    name: str
    tokenizer: str
    prompt: str
    layer: str
    block: str = "first"

    @property
    def tower(self) -> str:
        """The component that makes the states."""
        return self.name.removesuffix(".pooled")

    @property
    def pooled(self) -> bool:
        """Whether this is one vector for the whole prompt."""
        return self.layer in ("pooled", "projected")


_SD = (Site("text_encoder", "tokenizer", "prompt", "last"),)
_XL = (
    Site("text_encoder", "tokenizer", "prompt", "penultimate"),
    Site("text_encoder_2", "tokenizer_2", "prompt_2", "penultimate"),
    Site("text_encoder_2.pooled", "tokenizer_2", "prompt_2", "projected"),
)
_SD3 = (
    Site("text_encoder", "tokenizer", "prompt", "penultimate"),
    Site("text_encoder.pooled", "tokenizer", "prompt", "projected"),
    Site("text_encoder_2", "tokenizer_2", "prompt_2", "penultimate"),
    Site("text_encoder_2.pooled", "tokenizer_2", "prompt_2", "projected"),
    Site("text_encoder_3", "tokenizer_3", "prompt_3", "last", "second"),
)
_FLUX = (
    Site("text_encoder.pooled", "tokenizer", "prompt", "pooled"),
    Site("text_encoder_2", "tokenizer_2", "prompt_2", "last"),
)
FAMILIES: Mapping[str, Family] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionInpaintPipeline": _SD,
    "StableDiffusionXLPipeline": _XL,
    "StableDiffusionXLImg2ImgPipeline": _XL,
    "StableDiffusionXLInpaintPipeline": _XL,
    "StableDiffusion3Pipeline": _SD3,
    "StableDiffusion3Img2ImgPipeline": _SD3,
    "FluxPipeline": _FLUX,
    "FluxImg2ImgPipeline": _FLUX,
}


def sites_of(pipeline: Any) -> Family:
    """The sites of a pipeline, those of towers that it was loaded without left out.

    Raises
    ------
    OperatorError
        A pipeline whose text path is not known.
    """
    kinds = [kind.__name__ for kind in type(pipeline).__mro__ if kind.__name__ in FAMILIES]
    if not kinds:
        raise OperatorError(
            f"{type(pipeline).__name__} is not supported: how its text reaches the image model is not known. Supported "
            f"are {', '.join(FAMILIES)}. For another pipeline apply the operator to its prompt_embeds."
        )
    return tuple(site for site in FAMILIES[kinds[0]] if getattr(pipeline, site.tower, None) is not None)


def site_named(pipeline: Any, name: str) -> Site:
    """The site of this name."""
    sites = {site.name: site for site in sites_of(pipeline)}
    if name not in sites:
        raise OperatorError(f"{type(pipeline).__name__} has no site {name!r}; expected one of {', '.join(sites)}.")
    return sites[name]


def width(pipeline: Any, site: Site) -> int:
    """Width of the states of a site."""
    config = getattr(pipeline, site.tower).config
    if site.layer == "projected":
        return int(config.projection_dim)
    return int(getattr(config, "hidden_size", None) or config.d_model)


def window(pipeline: Any, site: Site, max_sequence_length: int | None = None) -> int:
    """Tokens that a tower is given."""
    if "T5" in type(getattr(pipeline, site.tower)).__name__:
        default = inspect.signature(pipeline.__class__.encode_prompt).parameters["max_sequence_length"].default
        return int(max_sequence_length or default)
    if hasattr(pipeline, "tokenizer_max_length"):  # SD3 and Flux cut every CLIP tower alike
        return int(pipeline.tokenizer_max_length)
    return int(getattr(pipeline, site.tokenizer).model_max_length)


def token_ids(pipeline: Any, site: Site, prompts: Sequence[str], *, max_sequence_length: int | None = None) -> IDS:
    """Token ids ``[n, window]`` as the pipeline's own call makes them."""
    tokenizer = getattr(pipeline, site.tokenizer)
    listed = list(prompts)
    if hasattr(pipeline, "maybe_convert_prompt"):
        listed = pipeline.maybe_convert_prompt(listed, tokenizer)
    length = window(pipeline, site, max_sequence_length)
    rows = tokenizer(listed, padding="max_length", max_length=length, truncation=True).input_ids
    return np.asarray(rows, dtype=np.int64)


def ends(pipeline: Any, site: Site, ids: IDS) -> IDS:
    """Where each row ends: the first end-of-text token, by the tokenizer's own id (pads may share it)."""
    eos = getattr(pipeline, site.tokenizer).eos_token_id
    found = ids == eos
    if eos is None or not found.any(axis=1).all():
        raise OperatorError(f"{site.tokenizer}: no end-of-text token (id {eos}) in a prompt; its states have no end.")
    return np.asarray(found.argmax(axis=1), dtype=np.int64)


def positions(pipeline: Any, site: Site, ids: IDS) -> dict[str, NDArray[np.bool_]]:
    """Which positions ``[n, window]`` are the beginning, words, the end of text, and what follows it."""
    tokenizer = getattr(pipeline, site.tokenizer)
    place = np.arange(ids.shape[1])[None, :]
    end = ends(pipeline, site, ids)[:, None]
    bos = tokenizer.bos_token_id
    begins = (place == 0) & (ids == bos) if bos is not None else np.zeros(ids.shape, bool)
    return {"bos": begins & (place < end), "words": (place < end) & ~begins, "eos": place == end, "pads": place > end}


def text_states(
    pipeline: Any, site: Site, prompts: Sequence[str], *, batch: int = 64, max_sequence_length: int | None = None
) -> tuple[NDArray[np.float64], IDS]:
    """States of a site, float64 ``[n, window, d]`` (pooled: ``[n, d]``), and the token ids ``[n, window]``.

    They are what the pipeline's own call gives to the denoiser for these prompts, attached operators left out.
    """
    if isinstance(prompts, str) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise InputError("prompts: expected a list of texts that is not empty.")
    torch = sys.modules["torch"]
    tower = getattr(pipeline, site.tower)
    ids = token_ids(pipeline, site, prompts, max_sequence_length=max_sequence_length)
    parts = []
    with torch.no_grad():
        for start in range(0, len(ids), batch):
            rows = torch.from_numpy(ids[start : start + batch]).to(pipeline._execution_device)
            made = tower(rows, output_hidden_states=site.layer == "penultimate")
            states = {
                "last": lambda out: out[0],
                "penultimate": lambda out: out.hidden_states[-2],
                "pooled": lambda out: out.pooler_output,
                "projected": lambda out: out[0],
            }[site.layer](made)
            parts.append(states.double().cpu().numpy())
    return np.concatenate(parts), ids
