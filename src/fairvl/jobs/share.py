"""A process's share of a training step: its pieces of the batch, and sums over all processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..errors import FairVLError, InputError, JobError, missing_extra


class Share:
    """What one process does of every step.

    Processes are those that `accelerate launch`, `torchrun` or any other launcher that accelerate knows has started;
    alone, there is one. Gradients are added over processes, never averaged: `learn` divides by the size of the whole
    batch.

    Attributes
    ----------
    rank, processes : int
    main : bool
        Whether this process writes files.
    """

    def __init__(
        self, device: Any, precision: str = "no", accumulate: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        import torch

        self.device = torch.device(device)
        self.precision = precision
        self.accumulate = accumulate
        self.rank, self.processes = rank, processes
        self.main = rank == 0
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")

    @classmethod
    def of(cls, module: Any, precision: str = "no", accumulate: int = 1) -> Share:
        """The share of this process, on the device where `module` is."""
        try:
            from accelerate import PartialState
        except ModuleNotFoundError as error:
            raise missing_extra("accelerate", "models") from error
        device = next(iter(module.parameters())).device
        state = PartialState(cpu=device.type == "cpu")
        if state.num_processes > 1 and device.type != state.device.type:
            raise InputError(
                f"{state.num_processes} processes on {state.device.type}, and the model is on {device}. Load it on "
                f"{state.device}."
            )
        return cls(device, precision, accumulate, state.process_index, state.num_processes)

    def pieces(self, rows: int) -> list[slice]:
        """This process's pieces of a global batch of so many rows, without empty ones."""
        cuts = np.linspace(0, rows, self.accumulate * self.processes + 1).astype(int).tolist()
        mine = range(self.rank, self.accumulate * self.processes, self.processes)
        return [slice(cuts[i], cuts[i + 1]) for i in mine if cuts[i + 1] > cuts[i]]

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the forward pass."""
        import torch

        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        context: AbstractContextManager[Any] = torch.autocast(
            self.device.type, dtype=kind, enabled=self.precision != "no"
        )
        return context

    def backward(self, part: Any) -> None:
        """Add the gradient of this piece's part of the step's loss."""
        self.scaler.scale(part).backward()

    def total(self, tensor: Any) -> Any:
        """`tensor` added up over all processes."""
        if self.processes == 1:
            return tensor
        from accelerate.utils import reduce

        return reduce(tensor, reduction="sum")

    def add_gradients(self, parameters: list[Any]) -> None:
        """Every gradient added up over all processes; one that no process has stays away."""
        if self.processes == 1:
            return
        import torch

        here = torch.tensor([float(value.grad is not None) for value in parameters], device=self.device)
        some = (self.total(here) > 0).tolist()
        held = [value for value, there in zip(parameters, some, strict=True) if there]
        if not held:
            return
        flat = torch.cat([(torch.zeros_like(v) if v.grad is None else v.grad).reshape(-1).float() for v in held])
        flat = self.total(flat)
        for value, part in zip(held, flat.split([v.numel() for v in held]), strict=True):
            value.grad = part.reshape(value.shape).to(value.dtype)

    def from_main(self, work: Callable[[], Any]) -> Any:
        """What `work` returns in the main process, in all of them; its error is an error in all of them."""
        if self.processes == 1:
            return work()
        from accelerate.utils import broadcast_object_list

        said: list[Any] = [None, None]
        failure: Exception | None = None
        if self.main:
            try:
                said[0] = work()
            except Exception as error:
                failure, said[1] = error, (type(error).__name__, str(error))
        broadcast_object_list(said)
        if failure is not None:
            raise failure
        if said[1] is not None:
            kind, text = said[1]
            known = {one.__name__: one for one in _subclasses(FairVLError)}
            raise known.get(kind, JobError)(text)
        return said[0]


def _subclasses(kind: type[FairVLError]) -> list[type[FairVLError]]:
    return [kind, *(deep for one in kind.__subclasses__() for deep in _subclasses(one))]
