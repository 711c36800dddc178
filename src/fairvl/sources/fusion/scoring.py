"""Questions to a fusion model, answered with its primitives: pair scores, fill, candidate answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks
from ...errors import FusionError
from .words import MASK, check_texts

if TYPE_CHECKING:
    from .seam import FusionModel

Scores = NDArray[np.float32]


def take(inputs: Any, rows: Any) -> Any:
    """Rows of a tensor, or of each tensor of a dict."""
    if isinstance(inputs, dict):
        return {key: value[rows] for key, value in inputs.items()}
    return inputs[rows]


def join(parts: Sequence[Any]) -> Any:
    """Tensors, or dicts of tensors of one shape beyond the first axis, one after another."""
    import torch

    if isinstance(parts[0], dict):
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return torch.cat(list(parts))


def check_list(candidates: Sequence[str], what: str) -> list[str]:
    """Candidates as a list: at least one, none twice."""
    listed = check_texts(candidates, what)
    if not listed or len(set(listed)) != len(listed):
        twice = sorted({text for text in listed if listed.count(text) > 1})[:3]
        raise FusionError(f"{what}: {f'{twice} more than once' if twice else 'an empty list'}; expected each once.")
    return listed


def score(model: FusionModel, images: Sequence[Any], texts: Sequence[str]) -> Scores:
    """See `FusionModel.score`."""
    _need(model, "score")
    listed = paired(images, texts, "texts")
    out = np.zeros(len(listed), np.float32)
    with model.inference():
        for rows in blocks(len(listed), model.batch_size):
            ids, mask = model.tokenize(listed[rows])
            out[rows] = _array(_pair_scores(model, model.see(model.inputs(images[rows])), ids, mask))
    return out


def score_all(model: FusionModel, images: Sequence[Any], texts: Sequence[str]) -> Scores:
    """See `FusionModel.score_all`."""
    import torch

    _need(model, "score")
    listed = check_texts(texts)
    out = np.zeros((len(images), len(listed)), np.float32)
    if not out.size:
        return out
    with model.inference():
        ids, mask = model.tokenize(listed)
        for rows in blocks(len(images), model.batch_size):
            seen = model.see(model.inputs(images[rows]))
            n = rows.stop - rows.start
            block = np.zeros(n * len(listed), np.float32)
            for pairs in blocks(len(block), model.batch_size):
                flat = torch.arange(pairs.start, pairs.stop, device=ids.device)
                image, text = flat // len(listed), flat % len(listed)
                block[pairs] = _array(_pair_scores(model, take(seen, image), ids[text], mask[text]))
            out[rows] = block.reshape(n, len(listed))
    return out


def _pair_scores(model: FusionModel, seen: Any, ids: Any, mask: Any) -> Any:
    if "itm" in model.card.capabilities:
        logits = model.match_logits(model.fuse(None, ids, mask, seen=seen))
        return logits[:, 1] - logits[:, 0]
    image, text, scale = model.project(None, ids, mask, seen=seen)
    return (image * text).sum(-1) * scale


def fill(model: FusionModel, images: Sequence[Any], texts: Sequence[str], candidates: Sequence[str]) -> Scores:
    """See `FusionModel.fill`."""
    _need(model, "fill")
    listed = paired(images, texts, "texts")
    words = check_list(candidates, "candidates")
    for place, text in enumerate(listed):
        if text.count(MASK) != 1:
            raise FusionError(
                f"texts: item {place} has {text.count(MASK)} times {MASK}; expected it once, where the candidates go: "
                f"{text[:60]!r}."
            )
    if "mlm" in model.card.capabilities:
        return _fill_masks(model, images, listed, words)
    for word in words:
        model.words.pieces(word)
    _check_room(model, [text.split(MASK)[0] + word for text in listed for word in words])
    whole = [[text.replace(MASK, word) for word in words] for text in listed]
    return _decode(model, images, whole, [1] * len(listed), len(words))


def _fill_masks(model: FusionModel, images: Sequence[Any], texts: list[str], candidates: list[str]) -> Scores:
    import torch

    pieces = [model.words.pieces(word) for word in candidates]
    lengths = sorted({len(ids) for ids in pieces})
    _check_room(model, [text.split(MASK)[0] + " ".join([MASK] * lengths[-1]) for text in texts])
    out = np.zeros((len(texts), len(candidates)), np.float32)
    with model.inference():
        for rows in blocks(len(texts), model.batch_size):
            seen = model.see(model.inputs(images[rows]))
            for length in lengths:
                ids, mask = model.tokenize([text.replace(MASK, " ".join([MASK] * length)) for text in texts[rows]])
                states = model.fuse(None, ids, mask, seen=seen)[ids == model.words.mask_id]
                logits = torch.log_softmax(model.word_logits(states).float(), -1)
                logits = logits.reshape(len(ids), length, -1)
                for column, wanted in enumerate(pieces):
                    if len(wanted) == length:
                        each = [logits[:, place, piece] for place, piece in enumerate(wanted)]
                        out[rows, column] = _array(torch.stack(each).sum(0))
    return out


def answer_scores(
    model: FusionModel, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str]
) -> Scores:
    """See `FusionModel.answer_scores`."""
    _need(model, "answer")
    listed = paired(images, questions, "questions")
    wanted = check_list(answers, "answers")
    if "head" in model.card.capabilities:
        return _head_scores(model, images, listed, wanted)
    if "lm" in model.card.capabilities:
        for answer in wanted:
            model.words.pieces(answer)
        texts = [[f"{question} {answer}" for answer in wanted] for question in listed]
        _check_room(model, [text for row in texts for text in row])
        starts = [len(ids) - 1 for ids in model.words.uncut(listed)]  # the end mark is not part of the question
        return _decode(model, images, texts, starts, len(wanted))
    return _fill_masks(model, images, [f"{question} {MASK}" for question in listed], wanted)


def _head_scores(model: FusionModel, images: Sequence[Any], questions: list[str], answers: list[str]) -> Scores:
    import torch

    place = {answer: column for column, answer in enumerate(model.answers)}
    if unknown := [answer for answer in answers if answer not in place]:
        raise FusionError(
            f"answers: {unknown[:3]} are not among the {len(place)} of the model's head, which begin with "
            f"{list(place)[:3]}. Ask for those, or give the model a head of its own: model.with_answers(answers)."
        )
    columns = [place[answer] for answer in answers]
    out = np.zeros((len(questions), len(answers)), np.float32)
    with model.inference():
        for rows in blocks(len(questions), model.batch_size):
            ids, mask = model.tokenize(questions[rows])
            logits = model.answer_logits(model.inputs(images[rows]), ids, mask)
            out[rows] = _array(torch.log_softmax(logits.float(), -1))[:, columns]
    return out


def _decode(
    model: FusionModel, images: Sequence[Any], texts: list[list[str]], starts: list[int], columns: int
) -> Scores:
    """Summed log-probability of the tokens from ``starts[i]`` on, the end included, of every text of image i."""
    import torch

    out = np.zeros((len(texts), columns), np.float32)
    with model.inference():
        for rows in blocks(len(texts), max(1, model.batch_size // columns)):
            seen = model.see(model.inputs(images[rows]))
            ids, mask = model.tokenize([text for row in texts[rows] for text in row])
            scores = np.zeros(len(ids), np.float32)
            first = torch.tensor(starts[rows], device=ids.device)
            for part in blocks(len(ids), model.batch_size):
                image = torch.arange(part.start, part.stop, device=ids.device) // columns
                logits = model.next_logits(None, ids[part], mask[part], seen=take(seen, image))
                each = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[part, 1:, None])[..., 0]
                counted = torch.arange(1, ids.shape[1], device=ids.device) >= first[image, None]
                scores[part] = _array((each * mask[part, 1:] * counted).sum(1))
            out[rows] = scores.reshape(-1, columns)
    return out


def _check_room(model: FusionModel, texts: list[str]) -> None:
    if cut := model.words.over_length(texts):
        raise FusionError(
            f"{texts[cut[0]][:60]!r} does not fit into {model.words.max_length} tokens, and what is asked for would be "
            "cut. Shorten it, or load the model with a larger max_length."
        )


def paired(images: Sequence[Any], texts: Sequence[str], what: str) -> list[str]:
    """`texts` as a list, after checking that there are as many images."""
    listed = check_texts(texts, what)
    try:
        n = len(images)
    except TypeError:
        raise FusionError(
            f"images: {type(images).__name__}; expected a list of images. For one write [image]."
        ) from None
    if n != len(listed):
        raise FusionError(f"{n} images for {len(listed)} {what}; expected one each.")
    return listed


def _need(model: FusionModel, capability: str) -> None:
    if capability not in model.card.capabilities:
        raise model._lacks(capability)


def _array(tensor: Any) -> Scores:
    return np.asarray(tensor.detach().cpu().float().numpy())
