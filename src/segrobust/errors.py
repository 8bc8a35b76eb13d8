"""Errors a person can act on.

Every error that segrobust raises on purpose is a ``SegrobustError``. Its message says what is wrong, where
(which file, which value), and what to do; the command line prints it on one line and exits with ``exit_code``.
"""


class SegrobustError(Exception):
    """Base of all deliberate errors.

    Attributes:
        exit_code: the process exit code the command line uses (see ``docs/cli.md``).
    """

    exit_code = 1


class UsageError(SegrobustError):
    """The command line, a setting or an argument is wrong."""

    exit_code = 2


class BudgetError(UsageError):
    """A perturbation budget that cannot be meant, e.g. a bare ``8``."""


class PhotoError(SegrobustError):
    """One photo cannot be read or used; the others can go on."""

    exit_code = 4


class MissingError(SegrobustError):
    """Something needed is not there: weights, a device, permission to write."""

    exit_code = 5


class ModelError(MissingError):
    """A model that cannot be found or loaded."""


class CapabilityError(UsageError):
    """A model was asked for something its family cannot do."""


class GradientError(SegrobustError):
    """The gradient is NaN, infinite or zero everywhere, so an attack would return a photo that was not attacked."""

    exit_code = 4


class NoMasksError(SegrobustError):
    """Segment everything found nothing on the photo, so there is no region to build a guide or a prompt from."""

    exit_code = 4


class AnswerError(SegrobustError):
    """A black box failed on a photo, or what it answered is no masks of it; the other photos can go on."""

    exit_code = 4
