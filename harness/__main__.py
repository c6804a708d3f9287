"""`python -m harness`: the command line.

An interrupt before the command begins, or after it has ended, comes while Python reads code or
closes what was open. There is nothing to continue and nothing to say, so it just ends the process,
where Python would show a traceback.
"""

import gc
import signal
import sys


def start() -> int:
    """Runs the command of this process; returns its exit code."""
    gc.disable()  # until a command begins that lasts: what is imported is no garbage
    usual = signal.getsignal(signal.SIGINT)
    silent = usual is signal.default_int_handler  # else a shell has them ignored
    if silent:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from harness.cli.main import INTERRUPTED, main

    try:
        signal.signal(signal.SIGINT, usual)
        return main()
    except KeyboardInterrupt:  # a second one, while the first was answered
        return INTERRUPTED
    finally:
        gc.freeze()  # nor is anything looked through while Python ends
        if silent:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(start())
