"""Prompts that name no attribute: what the band of a bypass is fitted on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ...errors import BankError
from ...sources.prompts import load_bank
from .material import unreadable

if TYPE_CHECKING:
    from ...sources.encoders import Encoder

BANKS = ("retrieval-29", "zero-shot-occupation", "paper-professions", "zero-shot-place")
LEAST = 20


def neutral_prompts(encoder: Encoder, never: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """Neutral texts of the shipped banks that `encoder` can read, and the base word of each; none of `never`.

    Raises
    ------
    BankError
        Fewer than 20 of them: a band needs more.
    """
    found: dict[str, str] = {}
    for name in BANKS:
        bank = load_bank(name)
        for chosen in bank.sets:
            prompts = bank.prompts(chosen)
            bad = unreadable(prompts.texts, encoder)
            for row, (text, word) in enumerate(zip(prompts.texts, prompts.words, strict=True)):
                if row not in bad and text not in never:
                    found.setdefault(text, f"{name}:{chosen}:{prompts.base_words[word] if word >= 0 else text}")
    if len(found) < LEAST:
        raise BankError(
            f"the encoder {encoder.card.name!r} can read {len(found)} neutral prompts of the banks "
            f"{', '.join(BANKS)}; a bypass needs at least {LEAST}. Fit one with Bypass().fit(operator, neutral, ...)."
        )
    return list(found), list(found.values())
