"""What a command could not do, and why: one line for the user instead of a traceback."""


class Failed(Exception):
    """The message says what is wrong and what to do. The command ends with exit code 2."""
