"""Whether an operator belongs to a text tower: what the tower makes of fixed prompts, within the rounding of dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import OperatorError
from ....fingerprints import fingerprint
from ..base import Operator
from .sites import Site, ends, text_states

PROBES = ("a photo of a person", "doctor, nurse; woman and man")
COORDINATES = 16
FIT_ONE = (
    "Fit one with: fairvl debias GENERATOR --attribute gender -o FILE (in Python: fit_on_pipeline), or pass "
    "allow_other_encoder=True (--allow-other-encoder) if the states are known to be the same."
)
SAME = 0.1  # relative distance; bfloat16 moves a state by a few hundredths, another tower by more than one


def end_states(pipeline: Any, site: Site, prompts: list[str]) -> NDArray[np.float64]:
    """One vector ``[n, d]``, float64, for each prompt: its state at the end of text, or its pooled vector."""
    states, ids = text_states(pipeline, site, prompts)
    return states if site.pooled else states[np.arange(len(states)), ends(pipeline, site, ids)]


def probe(pipeline: Any, site: Site) -> list[float]:
    """First coordinates of the probes' states."""
    states = end_states(pipeline, site, list(PROBES))
    return [round(float(value), 5) for value in states[:, :COORDINATES].ravel()]


def tower_card(pipeline: Any, site: Site) -> dict[str, Any]:
    """What the header of an operator says of the tower that it was fitted on."""
    tower = getattr(pipeline, site.tower)
    own = probe(pipeline, site)
    return {"library": "diffusers", "name": f"{type(tower).__name__} {site.name} {site.layer}",
            "weights": f"probe {fingerprint([round(value, 3) for value in own])}", "probe": own}  # fmt: skip


def check_origin(operator: Any, pipeline: Any, allow: bool) -> None:
    """Refuse an operator of an encoder before anything is said of sites and widths, which its user never heard of."""
    given = getattr(operator, "operators", operator)
    for one in given.values() if isinstance(given, Mapping) else [given]:
        card = one.card.encoder if isinstance(one, Operator) else {}
        if not allow and card and card.get("library") != "diffusers":
            raise OperatorError(
                f"the operator was fitted on another text tower ({card.get('library')}:{card.get('name')}, whose "
                f"vectors are of another space), not on one of this {type(pipeline).__name__}. {FIT_ONE}"
            )


def check_tower(operator: Operator, pipeline: Any, site: Site, allow: bool) -> None:
    """Refuse an operator that its card says was fitted elsewhere."""
    card = operator.card.encoder
    if allow or not card:
        return
    wrong = ""
    if card.get("library") != "diffusers" or "probe" not in card:
        wrong = f"{card.get('library')}:{card.get('name')}, whose vectors are of another space"
    else:
        fitted, own = np.asarray(card["probe"], float), np.asarray(probe(pipeline, site))
        far = fitted.shape != own.shape or np.linalg.norm(fitted - own) > SAME * np.linalg.norm(fitted)
        wrong = f"{card['name']} with other weights" if far else ""
    if wrong:
        raise OperatorError(
            f"the operator was fitted on another text tower ({wrong}); this is {site.name} of "
            f"{type(pipeline).__name__}. {FIT_ONE}"
        )
