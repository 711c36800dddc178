"""A closed form on the cross-attention weights: what a concept says is moved to what other prompts say.

For every key and value matrix W of the cross-attention it solves

    minimise  sum_i |W' c_i - W t_i|^2 + preserve * sum_j |W' c_j - W c_j|^2 + ridge * |W' - W|^2

over token states c_i of edited prompts, with t_i the mix of the states of other prompts at the same token, and c_j of
preserved prompts. The solution is ``W' = W Q`` with one d x d matrix for all layers,

    Q = I + (T - C)^T C G^-1,   G = C^T C + preserve * K^T K + ridge * I  (rows of C, T, K are states).

Source: Gandikota, Orgad, Belinkov, Materzynska and Bau (2024), "Unified Concept Editing in Diffusion Models",
whose closed form this is. One Q serves all layers because the targets are W times states; so the edit reaches exactly
what a linear map of the text states could, and mixes outside 0 to 1 are its way to counter a bias of the denoiser.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ....errors import InputError, OperatorError
from ....fingerprints import fingerprint
from .sites import IDS, Site, ends, text_states
from .weights import WHICH, text_maps, token_sites

F64 = NDArray[np.float64]
Mix = Mapping[str, Sequence[float]] | Sequence[float] | None


@dataclass(frozen=True)
class CrossAttentionEdit:
    """What `edit_cross_attention` did; `restore` puts every weight back, bit by bit.

    Attributes
    ----------
    matrix : (d, d) array
        Q of ``W' = W Q``.
    layers : tuple of str
        Names of the changed layers.
    moved, asked : float
        How far the edited states went, ``|C (Q - I)^T|^2``, and how far the targets lie, ``|T - C|^2``; per state.
    residual : float
        Mean squared distance of the edited states from their targets.
    drift : float
        Mean squared movement of preserved states, zero without any.
    fingerprint : str
    """

    pipeline: Any
    matrix: F64
    layers: tuple[str, ...]
    moved: float
    asked: float
    residual: float
    drift: float
    fingerprint: str
    originals: Mapping[str, Any] = field(repr=False)

    def restore(self) -> None:
        """Put the original weights back.

        Raises
        ------
        OperatorError
            The pipeline was edited again afterwards: restore the later edit first.
        """
        stack = self.pipeline.__dict__.get("fairvl_edits", [])
        if not stack or stack[-1] is not self:
            raise OperatorError("this edit is not the last one of the pipeline; restore later edits first.")
        maps = text_maps(self.pipeline)
        with sys.modules["torch"].no_grad():
            for name, weight in self.originals.items():
                maps[name].weight.copy_(weight)
        stack.pop()
        _record(self.pipeline, stack)


def edit_cross_attention(
    pipeline: Any, concepts: Sequence[str], targets: Sequence[Sequence[str]] | Mapping[str, Sequence[str]], *,
    mix: Mix = None, preserve: Sequence[str] = (), preserve_weight: float = 1.0, ridge: float = 0.1,
    weights: Sequence[str] = WHICH, layers: Sequence[str] | None = None, pads: bool = True,
    include_empty: bool = True,
) -> CrossAttentionEdit:  # fmt: skip
    """Move what each concept says in the cross-attention to a mix of what its target prompts say, in place.

    Parameters
    ----------
    pipeline : StableDiffusionPipeline, StableDiffusionXLPipeline, FluxPipeline or their relatives
    concepts : list of str
        Prompts to change: "a photo of a doctor".
    targets : list of lists, or mapping of concepts to lists
        For each, the prompts to move to: ("a photo of a male doctor", "a photo of a female doctor").
    mix : sequence of weights, or mapping of concepts to them, optional
        Share of each target, summing to 1; equal shares when left out. Weights outside 0 to 1 go beyond a target: they
        counter what the denoiser adds on its own.
    preserve : list of str
        Prompts that shall keep their meaning.
    preserve_weight, ridge : float
        Weight of the preserved states, and of staying near the old weights. `ridge` is a share of the mean squared
        length of all states, so that it does not depend on the model's scale; more than 0.
    weights : "key", "value" or both
    layers : list of str, optional
        Only layers whose name begins with one of these ("mid_block", "up_blocks.1").
    pads : bool
        Whether the positions after the end of the text are edited too.
    include_empty : bool
        Whether the empty prompt is preserved: it is the unconditional branch of guidance.

    Returns
    -------
    CrossAttentionEdit
        The pipeline itself is changed; ``edit.restore()`` puts it back, ``pipeline.save_pretrained`` keeps it. Tokens
        of a concept and of its targets meet by what they share at the beginning and, from the end of the text, at the
        end; a word that only the target has ("female") meets none. Pooled vectors (XL, Flux) are not changed.

    Raises
    ------
    InputError
        No concepts, a concept without targets, weights that do not sum to 1, a ridge that is not positive.
    OperatorError
        A pipeline that is not supported, SD3 with T5.
    """
    chosen = _chosen(pipeline, weights, layers)
    sites = token_sites(pipeline)
    problem = _Problem.of(pipeline, sites, concepts, targets, mix, pads)
    kept = [*preserve, *([""] if include_empty else [])]
    guard = _all_states(pipeline, sites, kept) if kept else np.zeros((0, problem.states.shape[1]))
    q = _solve(problem, guard, preserve_weight, ridge)
    originals = {name: module.weight.detach().clone() for name, module in chosen.items()}
    torch = sys.modules["torch"]
    with torch.no_grad():
        for module in chosen.values():
            old = module.weight
            states = old[:, : len(q)]  # SD3 without T5 leaves further inputs empty
            states.copy_((states.double().cpu() @ torch.from_numpy(q)).to(dtype=old.dtype))
    edit = _report(pipeline, problem, guard, q, originals)
    _record(pipeline, [*pipeline.__dict__.get("fairvl_edits", []), edit])
    return edit


@dataclass(frozen=True)
class _Problem:
    """States of the edited prompts ``[n, d]`` and where they shall go."""

    states: F64
    targets: F64

    @classmethod
    def of(
        cls, pipeline: Any, sites: Sequence[Site], concepts: Sequence[str], targets: Any, mix: Mix, pads: bool
    ) -> _Problem:
        listed = _checked(concepts, targets)
        blocks: list[tuple[list[F64], list[F64]]] = []
        shares = [_shares(mix, concept, len(wanted)) for concept, wanted in listed]
        for site in sites:
            texts = list(dict.fromkeys(text for concept, wanted in listed for text in (concept, *wanted)))
            states, ids = text_states(pipeline, site, texts)
            stop = ends(pipeline, site, ids)
            rows: tuple[list[F64], list[F64]] = ([], [])
            for share, (concept, wanted) in zip(shares, listed, strict=True):
                own = [texts.index(text) for text in (concept, *wanted)]
                matched = _aligned(ids[own], stop[own], pads)
                rows[0].append(states[own[0]][matched[:, 0]])
                aims = [states[row][matched[:, 1 + t]] for t, row in enumerate(own[1:])]
                rows[1].append(np.tensordot(share, np.array(aims), axes=1))
            blocks.append(rows)
        if len({tuple(len(part) for part in rows[0]) for rows in blocks}) > 1:
            raise OperatorError("the towers cut these prompts into tokens differently; their states cannot be aligned.")
        return cls(
            np.concatenate([np.concatenate(rows[0]) for rows in blocks], axis=1),
            np.concatenate([np.concatenate(rows[1]) for rows in blocks], axis=1),
        )


def _aligned(ids: IDS, end: IDS, pads: bool) -> IDS:
    """Positions ``[m, 1 + t]`` of the first row and, at the same token, of every other row.

    The common beginning meets from the left, the common rest from the end of the text.
    """
    first, others = ids[0], ids[1:]
    prefix = min(
        min(int(np.argmin(np.append(first[: end[0]] == row[: end[0]], False))) for row in others),
        *(int(stop) for stop in end),
    )
    suffix = 0
    while all(
        end[0] - 1 - suffix >= prefix
        and end[1 + t] - 1 - suffix >= prefix
        and first[end[0] - 1 - suffix] == row[end[1 + t] - 1 - suffix]
        for t, row in enumerate(others)
    ):
        suffix += 1
    after = int(ids.shape[1] - end.max()) if pads else 1
    heads = np.repeat(np.arange(prefix)[:, None], len(ids), axis=1)
    tails = np.arange(-suffix, after)[:, None] + end[None, :]
    return np.concatenate([heads, tails]).astype(np.int64)


def _solve(problem: _Problem, guard: F64, preserve_weight: float, ridge: float) -> F64:
    c, t = problem.states, problem.targets
    if not (np.isfinite(ridge) and ridge > 0 and np.isfinite(preserve_weight) and preserve_weight >= 0):
        raise InputError(f"ridge={ridge}, preserve_weight={preserve_weight}; expected above 0 and at least 0.")
    gram = c.T @ c + preserve_weight * (guard.T @ guard)
    scale = float(np.trace(gram)) / max(1, len(c) + len(guard))
    gram[np.diag_indices_from(gram)] += ridge * scale
    # (T - C)^T C G^-1, by one solve with the symmetric G.
    solved = cho_solve(cho_factor(gram, lower=True), c.T @ (t - c))
    return np.asarray(np.eye(c.shape[1]) + solved.T)


def _report(
    pipeline: Any, problem: _Problem, guard: F64, q: F64, originals: Mapping[str, Any]
) -> CrossAttentionEdit:  # fmt: skip
    def mean_square(rows: F64) -> float:
        return float(np.square(rows).sum() / len(rows)) if len(rows) else 0.0

    c, t = problem.states, problem.targets
    return CrossAttentionEdit(
        pipeline=pipeline, matrix=q, layers=tuple(originals), moved=mean_square(c @ q.T - c), asked=mean_square(t - c),
        residual=mean_square(c @ q.T - t), drift=mean_square(guard @ q.T - guard),
        fingerprint=fingerprint({"matrix": fingerprint(np.round(q, 6).tobytes()), "layers": sorted(originals)}),
        originals=originals,
    )  # fmt: skip


def _record(pipeline: Any, stack: list[Any]) -> None:
    repairs = dict(pipeline.__dict__.get("fairvl_repairs", {}))
    repairs.pop("edited", None)
    if stack:
        repairs["edited"] = fingerprint([edit.fingerprint for edit in stack])
    pipeline.__dict__["fairvl_edits"] = stack
    pipeline.__dict__["fairvl_repairs"] = repairs


def _chosen(pipeline: Any, weights: Sequence[str], layers: Sequence[str] | None) -> dict[str, Any]:
    maps = text_maps(pipeline, (weights,) if isinstance(weights, str) else tuple(weights))
    if layers is None:
        return maps
    chosen = {name: module for name, module in maps.items() if name.startswith(tuple(layers))}
    if not chosen:
        raise InputError(f"layers {list(layers)}: none of them; the first layers are {', '.join(list(maps)[:6])}.")
    return chosen


def _all_states(pipeline: Any, sites: Sequence[Site], prompts: Sequence[str]) -> F64:
    return np.concatenate(
        [(states := text_states(pipeline, site, prompts)[0]).reshape(-1, states.shape[-1]) for site in sites], axis=1
    )


def _checked(concepts: Sequence[str], targets: Any) -> list[tuple[str, list[str]]]:
    if isinstance(concepts, str) or not len(concepts):
        raise InputError("concepts: expected a list of prompts, at least one.")
    if len(set(concepts)) < len(concepts):
        raise InputError("concepts: a prompt stands in the list twice.")
    given = targets if isinstance(targets, Mapping) else dict(zip(concepts, targets, strict=False))
    if not isinstance(targets, Mapping) and len(targets) != len(concepts):
        raise InputError(f"{len(targets)} lists of targets for {len(concepts)} concepts; expected one each.")
    listed = []
    for concept in concepts:
        wanted = given.get(concept)
        if wanted is None or isinstance(wanted, str) or not len(wanted):
            raise InputError(f"concept {concept!r}: targets {wanted!r}; expected a list of prompts.")
        listed.append((concept, [str(prompt) for prompt in wanted]))
    return listed


def _shares(mix: Mix, concept: str, n: int) -> list[float]:
    given = mix.get(concept) if isinstance(mix, Mapping) else mix
    shares = [1.0 / n] * n if given is None else [float(share) for share in given]
    if len(shares) != n or not np.isfinite(shares).all() or abs(sum(shares) - 1.0) > 1e-9:
        raise InputError(f"mix {shares} for {concept!r}; expected {n} weights that sum to 1.")
    return shares
