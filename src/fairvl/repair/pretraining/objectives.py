"""The losses of vision-language pretraining, on tensors of any family: contrast, matching, masked and next words.

Each returns a sum or a mean over what it is given and nothing else; the caller divides by the size of the whole batch.
"""

from __future__ import annotations

from typing import Any

OBJECTIVES = ("itc", "itm", "mlm", "lm")
NO_INFORMATION = 0.6365141682948128  # ln 3 - 2/3 ln 2: entropy of matching with one right pair and two wrong ones


def contrastive_losses(image: Any, text: Any, scale: Any, same: Any) -> Any:
    """Cross-entropy per row ``[n]`` of finding the text of an image and the image of a text, mean of the two ways.

    Parameters
    ----------
    image, text : tensor [n, d]
        Unit rows; row i of one belongs to row i of the other.
    scale : tensor []
        Multiplies the cosines: one over the temperature.
    same : bool tensor [n, n]
        Which pairs belong together, the diagonal among them: rows that show one image or say one text. A row's target
        is uniform over them; a model without information has ``ln n``.
    """
    from torch.nn import functional

    logits = scale * image.float() @ text.float().T
    target = same.float()
    by_image = -(target / target.sum(1, keepdim=True) * functional.log_softmax(logits, 1)).sum(1)
    by_text = -(target / target.sum(0, keepdim=True) * functional.log_softmax(logits, 0)).sum(0)
    return (by_image + by_text) / 2


def contrastive_loss(image: Any, text: Any, scale: Any, same: Any) -> Any:
    """Mean of `contrastive_losses`."""
    return contrastive_losses(image, text, scale, same).mean()


def matching_losses(right: Any, wrong_image: Any, wrong_text: Any) -> Any:
    """Cross-entropy per sample ``[n]``: mean over its own pair and two that do not match.

    A model that knows nothing of the pairing cannot go below ``ln 3 - 2/3 ln 2 = 0.6365`` on average.

    Parameters
    ----------
    right, wrong_image, wrong_text : tensor [n, 2]
        Logits; index 1 is "match".
    """
    from torch.nn import functional

    of_match = functional.log_softmax(right.float(), 1)[:, 1]
    of_others = (
        functional.log_softmax(wrong_image.float(), 1)[:, 0] + functional.log_softmax(wrong_text.float(), 1)[:, 0]
    )
    return -(of_match + of_others) / 3


def word_losses(logits: Any, words: Any) -> Any:
    """Cross-entropy per word ``[k]`` of logits ``[k, V]``."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), words, reduction="none")


def next_words(mask: Any) -> Any:
    """Places ``[n, l - 1]`` whose next word is there."""
    return mask[:, 1:].bool()
