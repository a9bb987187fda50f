"""Open pages without their pixels: ``python -m tests.bench.page_clients ADDRESS PAGES [RUN]``.

Each listens to the events and then asks for what the page in a browser asks for: half of them show
the list of runs, the others the page of RUN. Prints "open" when all listen; ends with its standard
input.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.parse
import urllib.request

PATIENCE_SECONDS = 60


def fetch(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"accept-encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        body: bytes = answer.read()
        return body


def page(address: str, run: str | None, listening: threading.Semaphore) -> None:
    """One page, for ever."""
    name = urllib.parse.quote(run or "", safe="")
    paths = [f"run?run={name}", f"curves?run={name}&tag=loss&points=1000", f"layers?run={name}"]
    wanted = paths if run else ["runs"]
    with urllib.request.urlopen(f"{address}/api/v1/events", timeout=PATIENCE_SECONDS) as events:
        while line := events.readline():
            if line == b"event: hello\n":
                listening.release()
            if not line.startswith(b"data: {"):
                continue
            said = json.loads(line[6:])
            if "news" in said and (run is None or run in said["runs"] or said["many"]):
                for path in wanted:
                    fetch(f"{address}/api/v1/{path}")


def main(address: str, pages: int, run: str | None) -> None:
    listening = threading.Semaphore(0)
    for i in range(pages):
        shown = run if i % 2 else None
        threading.Thread(target=page, args=(address, shown, listening), daemon=True).start()
    for _ in range(pages):
        listening.acquire()
    print("open", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
