"""``python -m fairvl``."""

from .cli import main

main(prog_name="fairvl")
