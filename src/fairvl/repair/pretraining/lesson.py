"""A step of pretraining over the seam of fusion models: family-free, one pass through the fusion for all objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...jobs import Share
from ...sources.fusion.scoring import take
from .batches import Batch, Batches
from .images import Images
from .objectives import contrastive_loss, matching_losses, next_words, word_losses

Codes = NDArray[np.int64]
Reading = Literal["plain", "masked"]
Width = Literal["batch", "piece"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model learns and how its losses are put together.

    Attributes
    ----------
    model : FusionModel, or anything with the primitives that the objectives need
    batches : Batches
    images : Images
    weights : mapping of objective to float
    contrast : "batch" or "piece"
        Where the contrastive loss finds its other rows: in the whole batch, over processes and pieces (exact; with
        several pieces at the cost of one more pass of both towers without gradient), or in the piece alone.
    reading : "plain" or "masked"
        The text that matching reads. "masked" is that of the masked-word loss (as LXMERT does): own pairs then need
        one pass for both, three passes per sample in place of four.
    probability : callable
        From step to the probability of a neutral text.
    """

    model: Any
    batches: Batches
    images: Images
    weights: Mapping[str, float]
    contrast: Width
    reading: Reading
    probability: Callable[[int], float]

    def learn(self, step: int, share: Share) -> dict[str, Any]:
        """One step; see `fairvl.jobs.train`."""
        batch = self.batches.batch(step, self.probability(step))
        self.images.ahead(self._images_of(self.batches.batch(step + 1, 0.0)))
        return self.losses(batch, share)

    def losses(self, batch: Batch, share: Share) -> dict[str, Any]:
        """Backward through this process's pieces of `batch`, and its part of each loss."""
        import torch

        pieces = share.pieces(len(batch.rows))
        shared = _Shares.of(batch, self.batches)
        started = None
        pull = None
        if "itc" in self.weights and self.contrast == "batch":
            with share.autocast():
                if len(pieces) == 1:
                    started = self.start(batch, pieces[0])
                    features = [started.features()]
                else:
                    with torch.no_grad():
                        features = [self.start(batch, piece, alone=True).features() for piece in pieces]
            pull = _pull(features, pieces, batch, share)
        parts: dict[str, Any] = {"loss": 0.0}
        for piece in pieces:
            with share.autocast():
                begun = self.start(batch, piece) if started is None else started
                found = self._piece(batch, piece, begun, shared)
            total: Any = 0.0
            for name, value in found.items():
                total = total + self.weights[name] * value
                parts[name] = parts.get(name, 0.0) + value.detach()
            if pull is not None:
                total = total + self.weights["itc"] * pull.part(begun.projected, piece)
            share.backward(total)
            parts["loss"] = parts["loss"] + sum(self.weights[name] * value.detach() for name, value in found.items())
        if pull is not None:
            parts["itc"] = pull.loss / share.processes
            parts["loss"] = parts["loss"] + self.weights["itc"] * parts["itc"]
        parts["neutral"] = batch.neutral / share.processes
        return parts

    def _images_of(self, batch: Batch) -> Codes:
        return self.batches.images[batch.rows]

    def start(self, batch: Batch, piece: slice, *, alone: bool = False) -> Begun:
        """The images of a piece (and of its wrong partners), seen once, and the projections of its own pairs."""
        import torch

        here = self._images_of(batch)
        own = here[piece]
        wrong = batch.wrong_image[piece]
        both = "itm" in self.weights and not alone
        needed = np.unique(np.concatenate([own, here[wrong[wrong >= 0]]]) if both else own)
        inputs = self.images.inputs(needed)
        device = self.model.device
        place = torch.from_numpy(np.searchsorted(needed, own)).to(device)
        texts = self.batches.texts
        ids = torch.from_numpy(texts.ids[batch.texts].astype(np.int64)).to(device)
        mask = torch.from_numpy(texts.mask[batch.texts].astype(np.int64)).to(device)
        seen = self.model.see(inputs)
        projected = None
        if "itc" in self.weights:
            projected = self.model.project(take(inputs, place), ids[piece], mask[piece], seen=take(seen, place))
        return Begun(needed, inputs, seen, place, ids, mask, projected)

    def _piece(self, batch: Batch, piece: slice, begun: Begun, shared: _Shares) -> dict[str, Any]:
        """The piece's part of every loss but the contrast over the whole batch."""
        import torch

        found: dict[str, Any] = {}
        if "itc" in self.weights and self.contrast == "piece":
            same = torch.from_numpy(batch.same[piece, piece]).to(begun.ids.device)
            found["itc"] = contrastive_loss(begun.projected[0], begun.projected[1], begun.projected[2], same) * (
                len(same) / len(batch.rows)
            )
        matching, hidden = self.fused(batch, piece, begun)
        if matching is not None:
            found["itm"] = (matching * self._partnered(batch, piece, begun)).sum() / shared.pairs
        if hidden is not None:
            found["mlm"] = word_losses(*hidden).sum() / shared.words
        if "lm" in self.weights:
            found["lm"] = word_losses(*self.following(piece, begun)[:2]).sum() / shared.following
        return found

    def _partnered(self, batch: Batch, piece: slice, begun: Begun) -> Any:
        import torch

        return torch.from_numpy(batch.wrong_text[piece] >= 0).to(begun.ids.device)

    def following(self, piece: slice, begun: Begun) -> tuple[Any, Any, Any]:
        """Logits ``[k, V]`` of all words that follow another, those words, and where they are ``[n, l - 1]``."""
        ids, mask = begun.ids[piece], begun.mask[piece]
        own, seen = take(begun.inputs, begun.place), take(begun.seen, begun.place)
        there = next_words(mask)
        logits = self.model.next_logits(own, ids, mask, seen=seen)[:, :-1]
        return logits[there], ids[:, 1:][there], there

    def fused(self, batch: Batch, piece: slice, begun: Begun) -> tuple[Any, tuple[Any, Any] | None]:
        """One pass through the fusion: matching losses ``[n]``; logits ``[k, V]`` of hidden words, and the words."""
        import torch

        matches, masks_words = "itm" in self.weights, "mlm" in self.weights
        if not matches and not masks_words:
            return None, None
        device, n = begun.ids.device, len(begun.place)
        shown = torch.from_numpy(batch.shown).to(device) if masks_words else begun.ids
        read = shown if self.reading == "masked" else begun.ids
        images, texts, masks = [], [], []
        if matches:
            partner = self._images_of(batch)[np.maximum(batch.wrong_image[piece], 0)]
            spot = np.minimum(np.searchsorted(begun.needed, partner), len(begun.needed) - 1)
            other = torch.from_numpy(np.maximum(batch.wrong_text[piece], 0)).to(device)
            images = [begun.place, torch.from_numpy(spot).to(device), begun.place]
            texts = [read[piece], read[piece], read[other]]
            masks = [begun.mask[piece], begun.mask[piece], begun.mask[other]]
        apart = masks_words and not (matches and self.reading == "masked")
        if apart:
            images, texts, masks = [*images, begun.place], [*texts, shown[piece]], [*masks, begun.mask[piece]]
        places = torch.cat(images)
        states = self.model.fuse(
            take(begun.inputs, places), torch.cat(texts), torch.cat(masks), seen=take(begun.seen, places)
        )
        matching = hidden = None
        if matches:
            logits = self.model.match_logits(states[: 3 * n])
            matching = matching_losses(logits[:n], logits[n : 2 * n], logits[2 * n :])
        if masks_words:
            where = torch.from_numpy(batch.hidden[piece]).to(device)
            masked = states[-n:] if apart else states[:n]
            hidden = self.model.word_logits(masked[where][None])[0], begun.ids[piece][where]  # only where one is hidden
        return matching, hidden


@dataclass(frozen=True, eq=False)
class Begun:
    needed: Codes
    inputs: Any
    seen: Any
    place: Any
    ids: Any
    mask: Any
    projected: Any

    def features(self) -> tuple[Any, Any, Any]:
        import torch

        image, text, scale = self.projected
        held = torch.as_tensor(scale, device=image.device)
        return image.detach().float(), text.detach().float(), held.detach().float()


@dataclass(frozen=True)
class _Shares:
    """What the parts of a batch are divided by: pairs with partners, hidden words, words that follow another."""

    pairs: int
    words: int
    following: int

    @classmethod
    def of(cls, batch: Batch, batches: Batches) -> _Shares:
        return cls(
            max(1, int((batch.wrong_text >= 0).sum())),
            max(1, int(batch.hidden.sum())),
            max(1, int(batches.texts.mask[batch.texts][:, 1:].sum())),
        )


@dataclass(frozen=True, eq=False)
class _Pull:
    """The gradient of the batch's contrastive loss with respect to every projection."""

    loss: Any
    image: Any
    text: Any
    scale: Any
    pieces: int

    def part(self, projected: tuple[Any, Any, Any], piece: slice) -> Any:
        """A number whose gradient is this piece's part of that of the loss."""
        image, text, scale = projected
        pulled = (image.float() * self.image[piece]).sum() + (text.float() * self.text[piece]).sum()
        return pulled + scale * self.scale / self.pieces


def _pull(features: list[tuple[Any, Any, Any]], pieces: list[slice], batch: Batch, share: Share) -> _Pull:
    import torch

    first = features[0]
    image = first[0].new_zeros((len(batch.rows), first[0].shape[1]))
    text = torch.zeros_like(image)
    for piece, (ours, said, _) in zip(pieces, features, strict=True):
        image[piece], text[piece] = ours, said
    image, text = share.total(image).requires_grad_(), share.total(text).requires_grad_()
    scale = first[2].clone().requires_grad_()
    same = torch.from_numpy(batch.same).to(image.device)
    loss = contrastive_loss(image, text, scale, same)
    loss.backward()
    return _Pull(loss.detach(), image.grad, text.grad, scale.grad, share.accumulate * share.processes)
