"""The number of examples of a property test, as Hypothesis' profile goes."""

from hypothesis import settings


def examples(full: int) -> int:
    """`full` in the profile `full`, and the same share of it in every other that the profile has of its examples."""
    share = settings().max_examples / settings.get_profile("full").max_examples
    return max(1, round(full * share))
