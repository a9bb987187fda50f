"""``python -m tests.pages``: writes every page that is made from the code, and removes old ones."""

from __future__ import annotations

from pathlib import Path

from tests.pages import generated, stale

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Writes what has changed and says so."""
    for path in stale(ROOT):
        (ROOT / path).unlink()
        print(f"removed {path}")
    for path, text in generated().items():
        file = ROOT / path
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
