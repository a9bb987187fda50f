"""``python -m monitor.plugin.child LOGDIR...``: a monitor that ends with its parent.

Whoever starts it holds a pipe to its standard input; when that is closed, for whatever reason, even
because the parent was killed, the monitor is told to end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def _end_with_the_pipe() -> None:
    while sys.stdin.buffer.read(1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Watches the directories that are its arguments, on a free port of loopback."""
    from monitor.cli import main as monitor

    threading.Thread(target=_end_with_the_pipe, name="parent", daemon=True).start()
    options = ["--listen=127.0.0.1:0", "--log-format=json"]
    monitor.main(["watch", *options, "--", *sys.argv[1:]], prog_name="monitor")


if __name__ == "__main__":
    main()
