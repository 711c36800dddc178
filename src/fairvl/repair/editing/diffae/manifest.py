"""Names and shapes of the tensors of the published FFHQ checkpoints, walked off the published model definition.

Source: the model definition of ``phizaz/diffae`` (MIT), files ``model/unet.py``, ``model/unet_autoenc.py``,
``model/blocks.py`` and ``model/latentnet.py``, with the settings of its ``templates.py``. Written down without torch
and without our network, so that the two can be held against each other. It has not met the published files.
"""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import InputError
from .shape import Shape

Entry = tuple[str, tuple[int, ...]]
TIME = 512  # width of the embedded timestep
LATENT_TIME = 64


def published_manifest(shape: Shape, *, latent: bool = True) -> dict[str, tuple[int, ...]]:
    """Every tensor of a published model of a shape, by its name inside ``ema_model``.

    Parameters
    ----------
    shape : Shape
        Of family "published".
    latent : bool
        Whether the network that draws codes is part of the checkpoint.

    Examples
    --------
    >>> from fairvl.repair.editing.diffae.shape import CONFIGURATIONS
    >>> manifest = published_manifest(CONFIGURATIONS["published-256"], latent=False)
    >>> manifest["input_blocks.0.0.weight"], manifest["encoder.out.3.weight"]
    ((128, 3, 3, 3), (512, 512, 1, 1))
    """
    if shape.family != "published":
        raise InputError(f"family {shape.family!r}; only the published architecture has a published manifest.")
    entries = [*_time(shape), *_unet(shape), *_encoder(shape), *(_latent(shape) if latent else ())]
    manifest = dict(entries)
    assert len(manifest) == len(entries)
    return manifest


def _layer(name: str, *size: int) -> Iterator[Entry]:
    yield f"{name}.weight", size
    yield f"{name}.bias", (size[0],)


def _norm(name: str, width: int) -> Iterator[Entry]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _block(name: str, before: int, after: int, code: int | None) -> Iterator[Entry]:
    yield from _norm(f"{name}.in_layers.0", before)
    yield from _layer(f"{name}.in_layers.2", after, before, 3, 3)
    if code is not None:
        yield from _layer(f"{name}.emb_layers.1", 2 * after, TIME)
        yield from _layer(f"{name}.cond_emb_layers.1", after, code)
        yield from _norm(f"{name}.out_layers.0", after)
        yield from _layer(f"{name}.out_layers.3", after, after, 3, 3)
    if before != after:
        yield from _layer(f"{name}.skip_connection", after, before, 1, 1)


def _attention(name: str, width: int) -> Iterator[Entry]:
    yield from _norm(f"{name}.norm", width)
    yield from _layer(f"{name}.qkv", 3 * width, width, 1)
    yield from _layer(f"{name}.proj_out", width, width, 1)


def _down(name: str, shape: Shape, multipliers: tuple[int, ...], code: int | None) -> tuple[list[Entry], list[int]]:
    """The way down, and the width of each of its outputs."""
    width, side = multipliers[0] * shape.width, shape.size
    entries, kept = list(_layer(f"{name}.0.0", width, 3, 3, 3)), [width]
    for level, factor in enumerate(multipliers):
        for _ in range(shape.blocks):
            after = factor * shape.width
            entries += _block(f"{name}.{len(kept)}.0", width, after, code)
            if side in shape.attention:
                entries += _attention(f"{name}.{len(kept)}.1", after)
            width = after
            kept.append(width)
        if level + 1 < len(multipliers):
            entries += _block(f"{name}.{len(kept)}.0", width, width, code)
            side //= 2
            kept.append(width)
    return entries, kept


def _middle(name: str, width: int, code: int | None) -> Iterator[Entry]:
    yield from _block(f"{name}.0", width, width, code)
    yield from _attention(f"{name}.1", width)
    yield from _block(f"{name}.2", width, width, code)


def _time(shape: Shape) -> Iterator[Entry]:
    yield from _layer("time_embed.time_embed.0", TIME, shape.width)
    yield from _layer("time_embed.time_embed.2", TIME, TIME)


def _unet(shape: Shape) -> Iterator[Entry]:
    entries, kept = _down("input_blocks", shape, shape.multipliers, shape.code)
    yield from entries
    width = kept[-1]
    yield from _middle("middle_block", width, shape.code)
    side, place = shape.size >> (len(shape.multipliers) - 1), 0
    for level in range(len(shape.multipliers) - 1, -1, -1):
        for turn in range(shape.blocks + 1):
            after, name = shape.multipliers[level] * shape.width, f"output_blocks.{place}"
            yield from _block(f"{name}.0", width + kept.pop(), after, shape.code)
            width, part = after, 1
            if side in shape.attention:
                yield from _attention(f"{name}.1", width)
                part = 2
            if level and turn == shape.blocks:
                yield from _block(f"{name}.{part}", width, width, shape.code)
                side *= 2
            place += 1
    yield from _norm("out.0", width)
    yield from _layer("out.2", 3, width, 3, 3)


def _encoder(shape: Shape) -> Iterator[Entry]:
    entries, kept = _down("encoder.input_blocks", shape, shape.encoder_multipliers, None)
    yield from entries
    yield from _middle("encoder.middle_block", kept[-1], None)
    yield from _norm("encoder.out.0", kept[-1])
    yield from _layer("encoder.out.3", shape.code, kept[-1], 1, 1)


def _latent(shape: Shape) -> Iterator[Entry]:
    code, width, last = shape.code, shape.latent_width, shape.latent_layers - 1
    yield from _layer("latent_net.time_embed.0", code, LATENT_TIME)
    yield from _layer("latent_net.time_embed.2", code, code)
    for place in range(last + 1):
        name = f"latent_net.layers.{place}"
        before, after = (code if place == 0 else width + code), (code if place == last else width)
        yield from _layer(f"{name}.linear", after, before)
        if place < last:
            yield from _layer(f"{name}.linear_emb", after, code)
            yield from _layer(f"{name}.cond_layers.1", after, code)  # the same tensors under a second name
            yield from _norm(f"{name}.norm", after)
