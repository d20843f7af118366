"""The two ways a command may fail on purpose; both carry one sentence for the person at the keyboard.

A message names what is wrong, where, and how to mend it. Anything else that escapes is a bug and keeps its traceback.
"""

import sys


class GptwrightError(Exception):
    """A failure with a message for people; the command line prints it without a traceback."""

    exit_code = 1


class InputError(GptwrightError, ValueError):
    """What was given cannot be used: a file, a setting, a folder. Exit code 2."""

    exit_code = 2


class RunError(GptwrightError, RuntimeError):
    """The work itself failed: disk full, damaged checkpoint, diverged training. Exit code 1."""


def pip_install(extra: str) -> str:
    """The command that brings an extra to the Python that runs here."""
    return f"{sys.executable} -m pip install 'gptwright[{extra}]'"
