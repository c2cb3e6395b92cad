"""The first program of a child process: ties its life to its parent's, then becomes the program that is meant.

`python stack/bound.py PARENT NICENESS PROGRAM ARGUMENT…`. A program of its own because code between fork and exec
(`preexec_fn`) is unsafe in a process with threads: gRPC's fork handlers waited there for ever, now and then. The standard
library only, and little of it: this runs before every start.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Arm the kernel (prctl(2)), change the niceness, exec(2); the process id stays."""
    parent, niceness, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    os.nice(niceness)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
