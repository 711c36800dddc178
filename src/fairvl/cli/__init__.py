"""The command line: parse, call one library function, write. Whatever the shell can do, Python can do by the same name.

Nothing heavy is imported here: `fairvl --help` answers before numpy would have loaded.
"""

from . import augmenting as augmenting
from . import curating as curating
from . import measuring as measuring
from . import pretraining as pretraining
from . import repairing as repairing
from . import reporting as reporting
from . import studying as studying
from .group import main as main

__all__ = ["main"]
