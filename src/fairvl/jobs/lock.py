"""One run per folder: locks that the kernel releases when their holder dies, however it dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import JobError


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold `path` as a lock, alone or beside other shared holders, or raise `JobError` at once.

    The file itself stays: to remove a lock file while another process opens it would let two runs in.
    """
    import fcntl  # POSIX only; imported here so that the package itself imports everywhere

    path.parent.mkdir(parents=True, exist_ok=True)
    # Not inheritable (PEP 446), so a worker process cannot keep the lock of a killed parent.
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            raise JobError(
                f"{path.parent}: another run is at work in this folder{f' ({holder})' if holder else ''}. "
                "Wait for it, stop it, or name another output folder."
            ) from None
        if not shared:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        try:
            yield
        finally:
            if not shared:
                os.ftruncate(handle, 0)  # finished folders hold the same bytes, whoever wrote them
    finally:
        os.close(handle)
