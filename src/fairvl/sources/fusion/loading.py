"""From a name or a folder to a configuration, weights, a tokenizer and image settings, all through transformers.

No code of a repository is run. Weights are read from safetensors; a pickled file only where the user asks for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import FairVLError, FusionError
from ...fingerprints import file_hash, fingerprint
from ..encoders.seam import need
from ..encoders.towers import offline, pick_device
from .folder import OURS, quiet, read_json
from .words import MASK, Words

TYPES = {"lxmert": "lxmert", "blip": "blip", "vilt": "vilt"}  # family: model_type of transformers
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
PICKLES = (".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Source:
    """A local folder or a repository that has been looked at: its configuration and our own file, if it has one."""

    family: str
    target: str
    folder: Path | None
    revision: str | None
    pickled: bool
    config: Mapping[str, Any]
    ours: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name on the card, without paths of one machine."""
        return f"{self.family}:{self.folder.name if self.folder else self.target}"

    @property
    def options(self) -> dict[str, Any]:
        """What every call into transformers gets."""
        if self.folder is not None:
            return {"local_files_only": True, "trust_remote_code": False}
        return {"revision": self.revision, "trust_remote_code": False}

    @property
    def identity(self) -> dict[str, Any]:
        """Name, weights, revision and licence of the card."""
        weights = file_hashes(self.folder) if self.folder else "model.safetensors"
        licence = self.ours.get("licence")
        return {"name": self.label, "weights": weights, "revision": self.revision, "licence": licence}


def open_source(family: str, target: str, *, revision: str | None = None, pickled: bool = False) -> Source:
    """Look at `target` and refuse what is not a checkpoint of `family`, before any weight is read."""
    need("transformers")
    folder: Path | None = Path(target).expanduser()
    assert folder is not None
    ours: Mapping[str, Any] = {}
    if folder.is_dir():
        if revision is not None:
            raise FusionError(f"revision={revision!r} belongs to hub repositories; {target} is a local folder.")
        ours = read_json(folder / OURS) if (folder / OURS).is_file() else {}
        if ours.get("family", family) != family:
            raise wrong_family(family, target, ours.get("family"), None)
        check_folder(folder, family, pickled)
        config: Mapping[str, Any] = read_json(folder / "config.json")
    elif not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", target):
        raise FusionError(f"{family}: {target!r} is neither a folder that exists nor a repository name org/name.")
    else:
        folder = None
        hub: Any = need("transformers.utils.hub")
        path = explained(
            family, target, "configuration", lambda: Path(hub.cached_file(target, "config.json", revision=revision))
        )
        config = read_json(path)
        if path.parent.parent.name == "snapshots":  # every later file from this commit, which the card names
            revision = path.parent.name
        with suppress(OSError):  # only folders of ours have it
            ours = read_json(Path(hub.cached_file(target, OURS, revision=revision)))
    if family in TYPES and config.get("model_type") != TYPES[family]:
        raise wrong_family(family, target, config.get("model_type"), config.get("architectures"))
    return Source(family, target, folder, revision, pickled, config, ours)


def wrong_family(family: str, target: str, found: Any, architectures: Any) -> FusionError:
    """The error for a checkpoint of another family."""
    right = {kind: name for name, kind in TYPES.items()}.get(str(found), str(found) if found == "albef" else "")
    if right:
        hint = f"Load it as {right}:{target}."
    elif found in ("clip", "siglip", "siglip2"):
        hint = f"It is an encoder: fairvl.load_encoder('transformers:{target}')."
    else:
        hint = f"If it is a generative model, load it as generative:{target}."
    which = f" ({', '.join(architectures)})" if isinstance(architectures, list) and architectures else ""
    return FusionError(f"{family}:{target} is a checkpoint of type {found!r}{which}; expected {family!r}. {hint}")


def check_folder(folder: Path, family: str, pickled: bool) -> None:
    """Refuse a folder that lacks a file, so that nothing is downloaded in its stead."""
    names = {path.name for path in folder.iterdir()}
    missing = [] if "config.json" in names else ["config.json"]
    safe = [name for name in names if name.endswith(".safetensors")]
    unsafe = sorted(name for name in names if name.endswith(PICKLES) and name not in ("training_args.bin",))
    if not safe and not (pickled and unsafe):
        hint = f" ({unsafe[0]} is pickled and can hold code: pickled=1 reads it all the same)" if unsafe else ""
        missing.append(f"model.safetensors{hint}")
    if any((folder / name).stat().st_size == 0 for name in safe):
        missing.append("weights (an empty .safetensors file)")
    if not names.intersection(TOKENIZER_FILES):
        missing.append("a tokenizer (tokenizer.json or vocab.txt)")
    if missing:
        raise FusionError(f"{family}: the folder {folder} lacks {', '.join(missing)}; nothing is downloaded for it.")


def load_config(source: Source, kind: str) -> Any:
    """The configuration object of a transformers class."""
    transformers = need("transformers")
    load = getattr(transformers, kind).from_pretrained
    with _where(source), quiet():
        return explained(source.family, source.target, "configuration", lambda: load(source.target, **source.options))


def load_module(
    source: Source, kind: Any, config: Any, *, device: str, may_lack: Sequence[str] = (), **extra: Any
) -> tuple[Any, set[str]]:
    """A filled module in float32 and evaluation mode, and which of `may_lack` the checkpoint did not have."""
    torch = need("torch")
    place = pick_device(device)
    with _where(source), quiet():
        module, report = explained(
            source.family,
            source.target,
            "weights",
            lambda: kind.from_pretrained(
                source.target, config=config, use_safetensors=None if source.pickled else True, dtype=torch.float32,
                output_loading_info=True, **source.options, **extra,
            ),
        )  # fmt: skip
    lacking = {str(key) for key in report["missing_keys"] if "position_ids" not in str(key)}
    lacking |= {str(key[0] if isinstance(key, tuple) else key) for key in report.get("mismatched_keys", ())}
    if wrong := sorted(lacking - set(may_lack)):
        raise FusionError(
            f"{source.family}: the weights of {source.target} do not fill the model: {len(wrong)} tensors are missing "
            f"or of another shape, first {wrong[0]}. They would be random. Is config.json that of these weights?"
        )
    return module.float().to(place).eval(), lacking


def load_words(source: Source, *, positions: int, usual: int, size: int, max_length: int = 0) -> Words:
    """The tokenizer, at `max_length` tokens: as asked, as saved, or as the family is usually trained."""
    transformers = need("transformers")
    length = max_length or int(source.ours.get("max_length", 0)) or min(usual, positions)
    if not 3 <= length <= positions:
        raise FusionError(f"{source.label}: max_length={length}; expected 3 to {positions}, the model's positions.")
    with _where(source), quiet():
        tokenizer = explained(
            source.family,
            source.target,
            "tokenizer",
            lambda: transformers.AutoTokenizer.from_pretrained(source.target, **source.options),
        )
    return check_words(tokenizer, length, size, source.label)


def check_words(tokenizer: Any, length: int, size: int, label: str) -> Words:
    """`tokenizer` at that length, after checking that it has the special tokens and no id beyond the embeddings."""
    if tokenizer.mask_token != MASK or tokenizer.pad_token_id is None or tokenizer.cls_token_id is None:
        raise FusionError(
            f"{label}: the tokenizer's mask, padding and first tokens are {tokenizer.mask_token!r}, "
            f"{tokenizer.pad_token!r}, {tokenizer.cls_token!r}; expected those of BERT, {MASK!r} among them. Load the "
            "model with the tokenizer it was trained with."
        )
    largest = max(tokenizer.get_vocab().values())
    if largest >= size:
        raise FusionError(
            f"{label}: the tokenizer has ids up to {largest}, the model {size} word embeddings. They do not belong "
            "together."
        )
    tokenizer.padding_side = "right"
    return Words(tokenizer, length)


def load_settings(source: Source) -> dict[str, Any]:
    """The image processor's settings as plain values."""
    if source.folder is not None:
        return read_json(source.folder / "preprocessor_config.json")
    mixin: Any = need("transformers.image_processing_base")
    settings = explained(
        source.family,
        source.target,
        "image settings",
        lambda: mixin.ImageProcessingMixin.get_image_processor_dict(source.target, revision=source.revision)[0],
    )
    return dict(settings)


def read_answers(answers: Any, expected: int, label: str) -> tuple[str, ...]:
    """Answers of a head: a list, or a file with one per line or a JSON list; as many as the head has outputs."""
    if isinstance(answers, (str, Path)):
        path = Path(answers)
        try:
            text = path.read_text(encoding="utf-8")
            answers = json.loads(text) if path.suffix == ".json" else text.splitlines()
        except (OSError, ValueError) as error:
            raise FusionError(f"{path}: not a readable list of answers ({error}); expected one per line.") from None
    listed = list(answers)
    if len(listed) != expected or not all(isinstance(answer, str) for answer in listed):
        raise FusionError(f"{label}: {len(listed)} answers for a head of {expected}; expected a text for each output.")
    return tuple(listed)


def file_hashes(place: Path) -> str:
    """Hash of a weights file, or of all of those in a folder."""
    files = [place] if place.is_file() else sorted(place.iterdir())
    files = [path for path in files if path.suffix in (".safetensors", *PICKLES)]
    hashes = {path.name: file_hash(path) for path in files}
    if len(hashes) == 1:
        return f"{next(iter(hashes))} sha256:{next(iter(hashes.values()))[:16]}"
    return f"{len(hashes)} files sha256:{fingerprint(hashes)}"


def _where(source: Source) -> Any:
    return offline() if source.folder is not None else nullcontext()


def explained(family: str, target: str, part: str, load: Callable[[], Any]) -> Any:
    """`load()`, with what transformers raises turned into one message of ours."""
    try:
        return load()
    except FairVLError:
        raise
    except ImportError:
        raise
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))[:300]
        raise FusionError(
            f"{family}: the {part} of {target} cannot be loaded ({type(error).__name__}: {reason}). Expected a folder "
            "that save_pretrained wrote with safetensors, or a repository that can be reached."
        ) from error
