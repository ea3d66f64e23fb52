"""Errors the tool raises on purpose; each knows its exit code and its cure.

AdvisorError
    InputError           the user's file or options (exit 2)
    NoCandidateError     no candidate can meet the budget (exit 3)
    MissingExtraError    an optional package is not installed (exit 4)
"""


class AdvisorError(ValueError):
    """A deliberate error: one line that names rule and value, and a hint that names the cure."""

    exit_code = 2

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class InputError(AdvisorError):
    """The user's file or options cannot be used as they are."""


class NoCandidateError(AdvisorError):
    """No candidate meets the budget; the message names the nearest miss."""

    exit_code = 3


class MissingExtraError(AdvisorError):
    """An optional dependency is missing; the hint is the install command."""

    exit_code = 4
