"""``python -m monitor.page``: the process that reads runs for open pages; started by the daemon."""

import os
import sys

NICENESS = 10

if __name__ == "__main__":
    os.nice(
        NICENESS
    )  # before it loads anything: the training has precedence, and so has the daemon
    from monitor.page.worker import serve

    serve(sys.stdin.buffer, sys.stdout.buffer)
