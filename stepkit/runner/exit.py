"""How a command ends: every ending as the right exit status and at most one line.

The only place that ends the process. A signal's ending is the signal itself, so that shells, make
and parallel see it: a loop stops at Ctrl-C only if the command died of SIGINT.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable

from stepkit import interrupts
from stepkit.errors import EXIT_BUG, EXIT_FAILED, EXIT_OK, StepkitError, reason


def run_to_end(command: str, body: Callable[[], int | None]) -> int:
    """Run ``body``, which may return an exit status, and return the status to exit with.

    Does not return when a signal ended it.
    """
    _fill_standard_descriptors()
    # A block is some thousand young objects without cycles: looking through them costs a tenth.
    gc.set_threshold(50_000, 20, 20)
    try:
        interrupts.install()
        status = body() or EXIT_OK
        _flush()
        return status
    except interrupts.Interrupted as error:
        die(error.signum)
    except KeyboardInterrupt:
        die(signal.SIGINT)
    except BrokenPipeError:
        die(signal.SIGPIPE)
    except Exception as error:
        return _report(command, error)
    return EXIT_BUG


def die(signum: int) -> None:
    """End as the signal itself would, without the interpreter's own last flush."""
    signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)


def _report(command: str, error: Exception) -> int:
    from stepkit.runner.console import say

    if os.environ.get("STEPKIT_TRACEBACK"):
        import traceback

        traceback.print_exc()
    _drop_stdout()
    if isinstance(error, StepkitError):
        say(command, str(error))
        return error.exit_code
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        say(command, name + reason(error))
        return EXIT_FAILED
    if isinstance(error, MemoryError):
        say(command, "out of memory")
        return EXIT_FAILED
    hint = "" if os.environ.get("STEPKIT_TRACEBACK") else " (STEPKIT_TRACEBACK=1 shows where)"
    say(command, f"internal error: {type(error).__name__}: {error}{hint}")
    return EXIT_BUG


def _flush() -> None:
    """Write the buffered --help or --version while an error can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _drop_stdout() -> None:
    """Send the rest of Python's buffer nowhere, or the interpreter complains and exits 120."""
    try:
        _flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fill_standard_descriptors() -> None:
    """Put /dev/null on closed standard descriptors, so that no file of ours becomes number 0-2."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
