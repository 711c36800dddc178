"""ALBEF as a fusion model: contrast, matching and masked words over the module of `albef`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from ...errors import FusionError
from ..encoders.images import PixelTransform
from ..encoders.seam import need
from ..encoders.towers import offline, pick_device
from .albef import AlbefShape, albef_module, from_published, shape_of
from .folder import OURS, quiet, read_json, write_folder
from .heads import answer_head
from .loading import check_words, explained, file_hashes, wrong_family
from .pixels import CLIP_MEAN, CLIP_STD, from_settings, processor_settings, squash, to_pixels
from .seam import FusionModel
from .words import Words, build_words


@final
class AlbefFusion(FusionModel):
    """An ALBEF, after pretraining or with an answer head."""

    family = "albef"

    def __init__(self, module: Any, words: Words, pixels: PixelTransform, **known: Any) -> None:
        self.pixels = pixels
        super().__init__(module, words, **known)

    def _image_size(self) -> tuple[int, int]:
        return self.pixels.crop

    def _primitives(self) -> set[str]:
        return {"itc", "itm", "mlm"} | ({"head"} if hasattr(self.module, "answer_head") else set())

    def inputs(self, images: Sequence[Any]) -> Any:
        return to_pixels(self.pixels, images, self.device)

    def see(self, inputs: Any) -> Any:
        return self.module.image_states(inputs)

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        return self.module.fuse(self.module.text_states(ids, mask), mask, seen)

    def project(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> tuple[Any, Any, Any]:
        states = self.see(inputs) if seen is None else seen
        text = self.module.project_text(self.module.text_states(ids, mask))
        return self.module.project_image(states), text, 1 / self.module.temp

    def word_logits(self, states: Any) -> Any:
        return self.module.word_logits(states)

    def match_logits(self, states: Any) -> Any:
        return self.module.match_logits(states)

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if not hasattr(self.module, "answer_head"):
            raise self._lacks("head")
        return self.module.answer_head(self.fuse(inputs, ids, mask, seen=seen)[:, 0])

    def _new_head(self, module: Any, answers: int) -> None:
        module.answer_head = answer_head(module.shape.width, answers)

    def save(self, folder: Path | str) -> Path:
        return write_folder(
            self, folder, settings={"shape": self.module.shape.as_dict()},
            processor=processor_settings(self.pixels, "BlipImageProcessor"),
        )  # fmt: skip


def build_albef(
    vocabulary: Sequence[str], *, width: int = 64, layers: int = 2, heads: int = 4, hidden: int | None = None,
    image_size: int = 32, patch_size: int = 8, projection: int = 32, max_length: int = 16, dropout: float = 0.0,
    batch_size: int = 64, seed: int = 0,
) -> AlbefFusion:  # fmt: skip
    """A small ALBEF (itc, itm, mlm) with random weights over a list of words.

    `layers` counts each of its three stacks: image, text, fusion.

    Examples
    --------
    >>> model = build_albef(["a", "man", "woman"], width=16, heads=2)
    >>> sorted(model.card.capabilities)
    ['answer', 'fill', 'itc', 'itm', 'mlm', 'score']
    """
    words = build_words(vocabulary, max_length)
    shape = AlbefShape(
        image_size=image_size, patch_size=patch_size, width=width, vision_layers=layers, heads=heads,
        text_layers=layers, fusion_layers=layers, hidden=hidden or 2 * width, vocabulary=len(words.tokenizer),
        positions=max_length, projection=projection, queue=0, dropout=dropout,
    )  # fmt: skip
    return AlbefFusion(
        albef_module(shape, seed=seed), words, squash(image_size, CLIP_MEAN, CLIP_STD), name="albef:built",
        weights=f"random, seed {seed}", batch_size=batch_size,
    )  # fmt: skip


def load_albef(
    target: str, *, device: str = "cpu", batch_size: int = 64, max_length: int = 0, pickled: bool = False,
    tokenizer: Any = "",
) -> AlbefFusion:  # fmt: skip
    """An ALBEF from a folder that `save` wrote, or from a checkpoint file in the published layout; see `load_fusion`.

    A published checkpoint is one file without a tokenizer: give `tokenizer`, a folder with that of bert-base-uncased
    (or the tokenizer itself). The published files are pickled: ``pickled=1`` reads the tensors of one and nothing else.
    """
    path = Path(target).expanduser()
    ours: Mapping[str, Any] = {}
    if path.is_dir():
        if not (path / OURS).is_file():
            if (path / "config.json").is_file():
                config = read_json(path / "config.json")
                raise wrong_family("albef", target, config.get("model_type"), config.get("architectures"))
            raise FusionError(
                f"albef:{target}: the folder has no {OURS}; expected one that model.save wrote, or the published "
                "checkpoint file itself: albef:FILE."
            )
        ours = read_json(path / OURS)
        if ours.get("family") != "albef":
            raise wrong_family("albef", target, ours.get("family"), None)
        state, tokenizer = _safe(path / "model.safetensors"), tokenizer or path
        shape = explained("albef", target, "shape", lambda: AlbefShape(**ours["shape"]))
        pixels = from_settings(read_json(path / "preprocessor_config.json"), target)
    elif path.is_file():
        published = _safe(path) if path.suffix == ".safetensors" else _pickled(path, pickled)
        shape = shape_of(published)
        state = from_published(published, shape)
        pixels = squash(shape.image_size, CLIP_MEAN, CLIP_STD)
    else:
        raise FusionError(f"albef:{target} is neither a folder nor a file that exists; ALBEF is on no hub as a model.")
    module = _filled(state, shape, target).to(pick_device(device)).eval()
    length = max_length or int(ours.get("max_length", min(30, shape.positions)))
    if not 3 <= length <= shape.positions:
        raise FusionError(f"albef:{path.name}: max_length={length}; expected 3 to {shape.positions}, its positions.")
    words = check_words(_tokenizer(tokenizer, target), length, shape.vocabulary, f"albef:{path.name}")
    return AlbefFusion(
        module, words, pixels, name=f"albef:{path.name}", weights=file_hashes(path), licence=ours.get("licence"),
        answers=ours.get("answers", ()), batch_size=batch_size,
    )  # fmt: skip


def _filled(state: Mapping[str, Any], shape: AlbefShape, target: str) -> Any:
    module = albef_module(shape)
    if "answer_head.3.weight" in state:
        module.answer_head = answer_head(shape.width, len(state["answer_head.3.weight"]))
    own = module.state_dict()
    wrong = sorted(set(own) ^ set(state))
    wrong += sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    if wrong:
        raise FusionError(
            f"albef:{target}: {len(wrong)} tensors are missing, unknown or of another shape, first {wrong[0]}. The "
            "weights are not those of its shape; save the model again."
        )
    module.load_state_dict(state)
    shared = ("words.predictions.decoder.weight", "text.embeddings.word_embeddings.weight")
    if not bool((state[shared[0]] == state[shared[1]]).all()):
        raise FusionError(f"albef:{target}: {shared[0]} differs from {shared[1]}, which is the same parameter.")
    return module


def _safe(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    state: dict[str, Any] = explained("albef", str(path), "weights", lambda: load_file(path))
    return state


def _pickled(path: Path, allowed: bool) -> dict[str, Any]:
    if not allowed:
        raise FusionError(
            f"albef:{path} is pickled, and a pickle can hold code. pickled=1 reads its tensors and refuses anything "
            "else; or convert it to safetensors."
        )
    torch = need("torch")
    found = explained("albef", str(path), "weights", lambda: torch.load(path, map_location="cpu", weights_only=True))
    state = found.get("model", found) if isinstance(found, dict) else found
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise FusionError(f"albef:{path}: holds no state of tensors; expected the published file.")
    return state


def _tokenizer(given: Any, target: str) -> Any:
    if not given:
        raise FusionError(
            f"albef:{target} comes without a tokenizer. Pass tokenizer=FOLDER with that of bert-base-uncased, which "
            "ALBEF was trained with."
        )
    if not isinstance(given, (str, Path)):
        return given
    transformers = need("transformers")
    load = transformers.AutoTokenizer.from_pretrained
    with offline(), quiet():
        return explained(
            "albef", str(given), "tokenizer", lambda: load(given, local_files_only=True, trust_remote_code=False)
        )
