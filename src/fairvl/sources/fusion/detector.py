"""Regions from a torchvision detector: boxes it proposes, with the features its own head sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from ...errors import FusionError
from ..encoders.seam import need
from ..encoders.towers import pick_device
from .pixels import pictures
from .regions import RegionFeatures


@final
class DetectorRegions:
    """The best `regions` boxes of a torchvision Faster R-CNN, class-wise overlaps removed.

    Its features (1,024 wide for the FPN models) are not those that the published LXMERT weights were trained on: with
    them, train the model or at least its first visual layer. Those weights read the published tables (`read_regions`).

    Parameters
    ----------
    name : str
        A Faster R-CNN of torchvision.models.detection.
    weights : str, optional
        ``random`` (tests), a safetensors file of the detector's state, or a torchvision weights name such as
        ``DEFAULT``, which is downloaded.
    regions : int
        Boxes per image; fewer where the detector has no more.
    overlap : float
        Of two boxes with a larger intersection over union, the one with the lower score goes.
    seed : int
        Of random weights.
    """

    def __init__(
        self, name: str = "fasterrcnn_resnet50_fpn_v2", *, weights: str = "DEFAULT", regions: int = 36,
        overlap: float = 0.7, device: str = "cpu", seed: int = 0, **settings: Any,
    ) -> None:  # fmt: skip
        torch, torchvision = need("torch"), need("torchvision")
        detection: Any = torchvision.models.detection
        if not name.startswith("fasterrcnn") or not hasattr(detection, name):
            known = ", ".join(each for each in dir(detection) if each.startswith("fasterrcnn_"))
            raise FusionError(f"detector {name!r}; expected one of torchvision's Faster R-CNNs: {known}.")
        if regions < 1 or not 0 < overlap <= 1:
            raise FusionError(f"regions={regions}, overlap={overlap}; expected at least 1 and a share above 0.")
        stored = Path(weights).expanduser()
        own = stored.suffix == ".safetensors"
        if own and not stored.is_file():
            raise FusionError(f"detector weights {stored}: not there.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = getattr(detection, name)(
                weights=None if own or weights == "random" else weights, weights_backbone=None, **settings
            )
        if own:
            from safetensors.torch import load_file

            try:
                module.load_state_dict(load_file(stored))
            except (RuntimeError, OSError, ValueError) as error:
                raise FusionError(f"detector weights {stored} do not fit {name}: {str(error)[:200]}.") from None
        self.module = module.to(pick_device(device)).eval()
        self.regions, self.overlap = regions, overlap

    def __call__(self, images: Sequence[Any]) -> list[RegionFeatures]:
        """Regions of each image, seen alone: in a batch, the padding would change its borders."""
        torch = need("torch")
        device = next(self.module.parameters()).device
        found = []
        with torch.inference_mode():
            for picture in pictures(images):
                pixels = torch.from_numpy(np.array(picture)).to(device).permute(2, 0, 1).float() / 255
                found.append(self._look(pixels))
        return found

    def _look(self, pixels: Any) -> RegionFeatures:
        import torch
        from torchvision.ops import batched_nms

        given, _ = self.module.transform([pixels])
        maps = self.module.backbone(given.tensors)
        proposals, _ = self.module.rpn(given, maps)
        high, wide = given.image_sizes[0]
        if not len(proposals[0]):  # a detector that sees nothing still sees the whole image
            proposals = [torch.tensor([[0.0, 0.0, wide, high]], device=pixels.device)]
        heads = self.module.roi_heads
        features = heads.box_head(heads.box_roi_pool(maps, proposals, given.image_sizes))
        best, kind = heads.box_predictor(features)[0].softmax(-1)[:, 1:].max(-1)
        kept = batched_nms(proposals[0], best, kind, self.overlap)[: self.regions]
        boxes = proposals[0][kept] / proposals[0].new_tensor([wide, high, wide, high])
        return RegionFeatures(features[kept].cpu().numpy(), boxes.clamp(0, 1).cpu().numpy())
