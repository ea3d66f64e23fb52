"""Counts in words: the noun and the verb follow the number."""


def steps(number: int) -> str:
    """Return "1 step" or "7 steps"."""
    return f"{number} {'step' if number == 1 else 'steps'}"


def are(number: int) -> str:
    """Return the verb to a count: "is" of one, else "are"."""
    return "is" if number == 1 else "are"
