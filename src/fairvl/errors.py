"""One exception tree. Every message says what was found, what was expected, and what to do.

* FairVLError
  - InputError (also ValueError)         an argument or an array is not usable
    + GroupError                         group codes, labels or shares
    + BankError                          a prompt or stimulus bank
  - SourceError                          something that comes in cannot be read
    + EncoderError                       a model or its name
    + GeneratorError                     a text-to-image model, its name, prompts or seeds
    + FusionError                        a model that reads image and text together, its name or its weights
    + DatasetError                       a dataset, a record, an image
    + StoreError                         stored embeddings
  - OperatorError                        a debiasing operator or its file
  - JobError                             a resumable run
    + ConfigMismatchError                another configuration already owns the folder
    + TrainingError                      a model that did not learn, or whose loss is not a number
  - FindingsError                        a table of findings
    + CheckFailed                        a threshold was crossed (`fairvl check`)
  - MissingExtraError (also ImportError) an optional dependency is not installed
"""

from __future__ import annotations


class FairVLError(Exception):
    """Root of every error that a user of the package can cause."""


class InputError(FairVLError, ValueError):
    """An argument or an array is not usable."""


class GroupError(InputError):
    """Group codes, labels or shares are not usable."""


class BankError(InputError):
    """A prompt or stimulus bank is not usable."""


class SourceError(FairVLError):
    """Something that comes in cannot be read."""


class EncoderError(SourceError):
    """A model, or the name of one, is not usable."""


class GeneratorError(SourceError):
    """A text-to-image model, its name, or what it is asked for is not usable."""


class FusionError(SourceError):
    """A model that reads image and text together, its name or its weights, is not usable."""


class DatasetError(SourceError):
    """A dataset, a record or an image cannot be read."""


class StoreError(SourceError):
    """Stored embeddings cannot be read or do not agree with their table."""


class OperatorError(FairVLError):
    """A debiasing operator, or its file, is not usable."""


class JobError(FairVLError):
    """A resumable run cannot start or go on."""


class ConfigMismatchError(JobError):
    """The folder already holds a run with another configuration."""


class TrainingError(JobError):
    """A training run went wrong: a loss is not a number, or the model did not learn what it was trained on."""


class FindingsError(FairVLError):
    """A table of findings is malformed."""


class CheckFailed(FindingsError):
    """A threshold of `fairvl check` was crossed."""


class MissingExtraError(FairVLError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """The error for an optional dependency that is not installed."""
    return MissingExtraError(
        f"this needs the package {package!r}, which is not installed. Install it with: pip install 'fairvl[{extra}]'"
    )
