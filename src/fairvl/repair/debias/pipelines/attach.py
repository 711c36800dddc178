"""Operators between the text towers of a pipeline and its image model: `attach`, `detach`.

Only ``pipeline.encode_prompt``, the public hook that every call goes through, is stood in for; the user's own call
``pipeline("a photo of a doctor")`` stays as it is. Weights are not touched.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import OperatorError
from ....fingerprints import fingerprint
from ..base import Operator
from ..bypass import BypassOperator
from ..header import AS_GIVEN
from ..operator import LinearOperator
from .probe import check_origin, check_tower
from .sites import Site, ends, positions, site_named, sites_of, token_ids, width

POLICY = ("bos", "words", "eos", "pads")
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "paper": POLICY,
    "midpoint": POLICY,
    "end-of-text": ("eos",),
    "from-end-of-text": ("eos", "pads"),
    "words": ("words",),
}
Kept = Callable[[list[str]], Sequence[float]]
Tokens = str | Sequence[str] | None


class TowerUntouched(UserWarning):
    """A text tower of the pipeline has no operator, so its states still carry what the others lose."""


def attach(
    operator: Any, pipeline: Any, *, variant: str | None = None, tokens: Tokens = None, negative: bool = False,
    bypass: BypassOperator | Kept | None = None, allow_other_encoder: bool = False,
) -> Any:  # fmt: skip
    """Send the text states of `pipeline` through `operator` on their way to the image model.

    Parameters
    ----------
    operator : Operator, PipelineOperator, or mapping of site names to operators
        A single operator goes to the site that its card names, or else to the only one of its width.
    pipeline : pipeline of Stable Diffusion 1, 2, XL or 3, or of Flux
    variant : str, optional
        ``paper``: a calibration alone, ``(I + lam M)^-1`` without a centre, on every position, un-normalised.
        ``midpoint``: an operator that moves about the midpoint of its pairs (`fit_on_pipeline`, ``about="midpoint"``),
        on every position. ``end-of-text``, ``from-end-of-text``, ``words``: the operator as it is, on these positions.
        When left out: the operator as it is, on every position.
    tokens : "all", or some of "bos", "words", "eos", "pads"; optional
        Which positions of the conditional prompt change: the beginning of text, the words, the first end of text, what
        follows it. Overrides those of `variant`. A pooled vector has no positions and is always changed.
    negative : bool
        Whether the negative (or empty) prompt goes through the operator too. The paper leaves it alone.
    bypass : BypassOperator or callable, optional
        Which prompts keep their meaning: a band fitted on the end-of-text states, or a function of the list of prompts
        that says how much of each is kept (0 repaired, 1 untouched bit by bit). An operator with a bypass brings its
        own. One weight per prompt serves all of its tokens and towers: the largest that any tower gives.
    allow_other_encoder : bool
        Also take an operator that was fitted on another tower.

    Returns
    -------
    pipeline
        The same object. States that a caller passes itself (``prompt_embeds=``) are left as they are.

    Raises
    ------
    OperatorError
        A pipeline that is not supported, an operator of another width or tower, one attached already, an unknown
        variant or position, a variant that the operator cannot be.

    Warns
    -----
    TowerUntouched
        A tower (or its pooled vector) has no operator.
    """
    sites = sites_of(pipeline)
    check_origin(operator, pipeline, allow_other_encoder)
    if "encode_prompt" in pipeline.__dict__:
        raise OperatorError("the pipeline has an operator attached already; detach(pipeline) first.")
    given = assigned(operator, pipeline)
    chosen = _policy(variant, tokens)
    for name, one in given.items():
        check_tower(one, pipeline, site_named(pipeline, name), allow_other_encoder)
    bands = {name: one for name, one in given.items() if isinstance(one, BypassOperator)}
    maps = {
        name: _variant(one.inner if isinstance(one, BypassOperator) else one, variant) for name, one in given.items()
    }
    if isinstance(bypass, BypassOperator):
        where = next(iter(assigned(bypass, pipeline)))
        bands = {where: bypass}
    elif bypass is not None and not callable(bypass):
        raise OperatorError(f"bypass {type(bypass).__name__}; expected a BypassOperator, or a function of prompts.")
    untouched = [site.name for site in sites if site.name not in maps]
    if untouched:
        warnings.warn(
            f"no operator for {', '.join(untouched)}: what they say of the attribute still reaches the image model.",
            TowerUntouched,
            stacklevel=2,
        )
    own = bypass if callable(bypass) and not isinstance(bypass, BypassOperator) else None
    hook = AttachedPrompts(pipeline, maps, chosen, negative, bands, own)
    pipeline.__dict__["encode_prompt"] = hook
    repairs = dict(pipeline.__dict__.get("fairvl_repairs", {}))
    pipeline.__dict__["fairvl_repairs"] = {**repairs, "attached": hook.fingerprint}
    return pipeline


def detach(pipeline: Any) -> Any:
    """Take off what `attach` put on: images are those of before, bit by bit.

    Raises
    ------
    OperatorError
        Nothing is attached.
    """
    if not isinstance(pipeline.__dict__.get("encode_prompt"), AttachedPrompts):
        raise OperatorError("no operator is attached to this pipeline.")
    del pipeline.__dict__["encode_prompt"]
    pipeline.__dict__["fairvl_repairs"].pop("attached")
    return pipeline


def assigned(operator: Any, pipeline: Any) -> dict[str, Operator]:
    """Operators by site, after checking that every one fits its site."""
    sites = {site.name: width(pipeline, site) for site in sites_of(pipeline)}
    given = getattr(operator, "operators", operator)
    if isinstance(given, Mapping) and set(given) == {""}:
        given = given[""]
    if isinstance(given, Operator):
        given = {_site_for(given, sites, pipeline): given}
    if not isinstance(given, Mapping) or not given:
        raise OperatorError(f"operator {type(operator).__name__}; expected an Operator, or a mapping of sites to them.")
    for name, one in given.items():
        dim = width(pipeline, site_named(pipeline, name))
        if not isinstance(one, Operator):
            raise OperatorError(f"{name}: {type(one).__name__}; expected an Operator.")
        if one.dim != dim:
            raise OperatorError(
                f"{name} makes states of width {dim}, the operator takes {one.dim}. Sites of this pipeline: "
                f"{_widths(sites)}. Fit one with fit_on_pipeline."
            )
    return dict(given)


def _site_for(operator: Operator, sites: Mapping[str, int], pipeline: Any) -> str:
    named = str(operator.card.parameters.get("site", ""))
    if named in sites:
        return named
    fitting = [name for name, dim in sites.items() if dim == operator.dim]
    tokens = [name for name in fitting if not name.endswith(".pooled")]
    if len(tokens) == 1 or (not tokens and len(fitting) == 1):
        return (tokens or fitting)[0]
    found = "several sites have" if fitting else "no site has"
    raise OperatorError(
        f"{type(pipeline).__name__}: {found} states of the operator's width {operator.dim}. Its sites: "
        f"{_widths(sites)}. Pass a mapping of sites to operators, or fit one with fit_on_pipeline."
    )


def _widths(sites: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({dim})" for name, dim in sites.items())


def _policy(variant: str | None, tokens: Tokens) -> tuple[str, ...]:
    if variant is not None and variant not in VARIANTS:
        raise OperatorError(f"variant {variant!r}; expected one of {', '.join(VARIANTS)}.")
    if tokens is None:
        return POLICY if variant is None else VARIANTS[variant]
    chosen = POLICY if tokens == "all" else (tokens,) if isinstance(tokens, str) else tuple(tokens)
    if not chosen or set(chosen) - set(POLICY):
        raise OperatorError(f"tokens {tokens!r}; expected 'all', or some of {', '.join(POLICY)}.")
    return chosen


def _variant(operator: Operator, variant: str | None) -> Operator:
    if variant == "paper":
        if not isinstance(operator, LinearOperator) or operator.card.lam is None or operator.rank:
            raise OperatorError(
                f"variant 'paper' is the calibration (I + lam M)^-1 alone; this operator is {operator.card.method} of "
                f"rank {operator.rank}. Fit CalibratedProjection without prompts."
            )
        return operator.linear()
    if variant == "midpoint" and not (isinstance(operator, LinearOperator) and operator.affine):
        raise OperatorError(
            "variant 'midpoint' needs an operator that moves about the midpoint of its pairs; fit it with "
            'fit_on_pipeline(..., about="midpoint").'
        )
    return operator


@dataclass(eq=False)
class AttachedPrompts:
    """Stands in for ``pipeline.encode_prompt``."""

    pipeline: Any
    operators: Mapping[str, Operator]
    tokens: tuple[str, ...]
    negative: bool
    bands: Mapping[str, BypassOperator]
    kept: Kept | None
    signature: inspect.Signature = field(init=False)

    def __post_init__(self) -> None:
        self.signature = inspect.signature(type(self.pipeline).encode_prompt)

    @property
    def fingerprint(self) -> str:
        """Short name of everything that changes states; of a function as bypass only its name is known."""
        own = None if self.kept is None else getattr(self.kept, "__qualname__", type(self.kept).__name__)
        return fingerprint(
            {
                "operators": {name: operator.fingerprint for name, operator in self.operators.items()},
                "bands": {name: band.fingerprint for name, band in self.bands.items()},
                "bypass": own, "tokens": self.tokens, "negative": self.negative,
            }
        )  # fmt: skip

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.signature.bind(self.pipeline, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if given.get("clip_skip") is not None:
            raise OperatorError(
                "clip_skip takes the states of another layer than the one that operators are fitted on."
            )
        made = list(type(self.pipeline).encode_prompt(self.pipeline, *args, **kwargs))
        places = _places(len(made))
        if given.get("prompt") is not None and given.get("prompt_embeds") is None:
            self._change(made, places["states"], places["pooled"], given, "prompt")
        guided = places["negative"] is not None and given.get("do_classifier_free_guidance")
        if self.negative and guided and given.get("negative_prompt_embeds") is None and not self._zeros(given):
            self._change(made, places["negative"], places["negative_pooled"], given, "negative_prompt")
        return tuple(made)

    def _zeros(self, given: Mapping[str, Any]) -> bool:
        """Whether the empty prompt stands for zeros (XL), which say nothing that could be changed."""
        return given.get("negative_prompt") is None and bool(
            self.pipeline.config.get("force_zeros_for_empty_prompt", False)
        )

    def _change(
        self, made: list[Any], states: int | None, pooled: int | None, given: Mapping[str, Any], name: str
    ) -> None:  # fmt: skip
        blocks = {}
        for site in sites_of(self.pipeline):
            index = pooled if site.pooled else states
            if index is None or (site.name not in self.operators and site.name not in self.bands):
                continue
            prompts = self._prompts(site, given, name)
            images = int(given.get("num_images_per_prompt") or 1)
            if len(prompts) * images != len(made[index]):  # one negative prompt for a whole batch
                prompts = prompts * (len(made[index]) // images // len(prompts))
            ids = token_ids(self.pipeline, site, prompts, max_sequence_length=given.get("max_sequence_length"))
            blocks[site.name] = (site, index, prompts, ids, images)
        weights = self._weights(made, blocks)
        changed = {index: made[index].clone() for _, index, *_ in blocks.values()}
        for site, index, _, ids, images in blocks.values():
            if site.name not in self.operators:
                continue
            place = slot(self.pipeline, site, ids.shape[1])
            rows = made[index][place]
            after = through(self.operators[site.name], rows)
            if weights is not None:
                after = _mixed(rows, after, np.repeat(weights, images))
            if not site.pooled:
                where = positions(self.pipeline, site, ids)
                mask = np.repeat(np.any([where[kind] for kind in self.tokens], axis=0), images, axis=0)
                torch = sys.modules["torch"]
                after = torch.where(torch.from_numpy(mask).to(rows.device)[:, :, None], after, rows)
            changed[index][place] = after
        for index, value in changed.items():
            made[index] = value

    def _prompts(self, site: Site, given: Mapping[str, Any], name: str) -> list[str]:
        own = site.prompt.replace("prompt", name)
        if getattr(self.pipeline, "text_encoder", None) is None:  # XL's refiner gives its one tower the first prompt
            own = name
        value = given.get(own) or given.get(name)
        value = "" if value is None else value
        return [value] if isinstance(value, str) else list(value)

    def _weights(self, made: list[Any], blocks: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """How much of each prompt is kept: the largest share that any band or the caller's function gives."""
        found = []
        for name, band in self.bands.items():
            if name not in blocks:
                continue
            site, index, _, ids, images = blocks[name]
            states = made[index][slot(self.pipeline, site, ids.shape[1])][::images].detach().double().cpu().numpy()
            rows = states if site.pooled else states[np.arange(len(states)), ends(self.pipeline, site, ids)]
            found.append(band.kept(rows))
        if self.kept is not None and blocks:
            prompts = next(iter(blocks.values()))[2]
            own = np.asarray(self.kept(prompts), dtype=np.float64)
            if own.shape != (len(prompts),) or not ((own >= 0) & (own <= 1)).all():
                raise OperatorError(f"bypass gave {own} for {len(prompts)} prompts; expected one share in [0, 1] each.")
            found.append(own)
        return np.max(found, axis=0) if found else None


def through(operator: Operator, states: Any) -> Any:
    """States ``[..., d]`` through `operator` in float64, in their own dtype again.

    A linear operator takes them un-normalised; what was fitted on rows of unit length and is not linear sees each state
    at unit length, and the length is given back.
    """
    torch = sys.modules["torch"]
    wide = states.to(torch.float32 if states.device.type == "mps" else torch.float64)
    homogeneous = isinstance(operator, LinearOperator) and not operator.affine
    if homogeneous or operator.card.normalisation == AS_GIVEN:
        return operator(wide).to(states.dtype)
    length = wide.norm(dim=-1, keepdim=True)
    return (operator(wide / torch.where(length > 0, length, 1.0)) * length).to(states.dtype)


def slot(pipeline: Any, site: Site, tokens: int) -> tuple[slice, ...]:
    """Where the states of a site, of so many tokens, stand in the prompt embeddings or in the pooled vectors.

    Of SD3 the tokens of CLIP come first and those of T5, or zeros in their place, last.
    """
    peers = [one for one in sites_of(pipeline) if one.pooled == site.pooled and one.block == site.block]
    before = sum(width(pipeline, one) for one in peers[: peers.index(site)])
    columns = slice(before, before + width(pipeline, site))
    if site.pooled:
        return (slice(None), columns)
    return (slice(None), slice(0, tokens) if site.block == "first" else slice(-tokens, None), columns)


def _places(n: int) -> dict[str, int | None]:
    """Which output of encode_prompt is what, by their number."""
    places: dict[int, dict[str, int | None]] = {
        2: {"states": 0, "negative": 1, "pooled": None, "negative_pooled": None},
        3: {"states": 0, "negative": None, "pooled": 1, "negative_pooled": None},
        4: {"states": 0, "negative": 1, "pooled": 2, "negative_pooled": 3},
    }
    return places[n]


def _mixed(before: Any, after: Any, weights: NDArray[np.float64]) -> Any:
    torch = sys.modules["torch"]
    shape = (-1,) + (1,) * (before.ndim - 1)
    share = torch.from_numpy(weights).to(before.device).reshape(shape)
    mixed = ((1.0 - share) * after.double() + share * before.double()).to(before.dtype)
    return torch.where(share >= 1.0, before, torch.where(share <= 0.0, after, mixed))
