"""How many examples property tests try: Hypothesis' profile `full` (100) as a rule, `quick` in `make check`.

What takes an own number of examples says it by `tests.examples.examples`, which follows the profile.
"""

from hypothesis import settings

# An example may take long on a busy machine: no deadlines.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=15)
settings.load_profile("full")
