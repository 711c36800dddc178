"""Versioned banks of prompts, word lists and stimuli, with their provenance, and a lint for them."""

from .bank import Bank as Bank
from .bank import BankTest as BankTest
from .bank import PairPrompts as PairPrompts
from .bank import PairRule as PairRule
from .bank import Plan as Plan
from .bank import Prompts as Prompts
from .bank import PromptSet as PromptSet
from .linting import LintFinding as LintFinding
from .linting import lint as lint
from .reading import list_banks as list_banks
from .reading import load_bank as load_bank

__all__ = [
    "Bank",
    "BankTest",
    "LintFinding",
    "PairPrompts",
    "PairRule",
    "Plan",
    "PromptSet",
    "Prompts",
    "lint",
    "list_banks",
    "load_bank",
]
