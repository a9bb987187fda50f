"""``python -m monitor.page``: the process that reads runs for open pages; started by the daemon."""

import os
import sys

NICENESS = 5

if __name__ == "__main__":
    # Before it loads anything. The training and the daemon have precedence; but somebody waits.
    os.nice(NICENESS)
    from monitor.page.worker import serve

    serve(sys.stdin.buffer, sys.stdout.buffer)
