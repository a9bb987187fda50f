"""Names as a picture can hold them."""

from __future__ import annotations


def plain(text: str, most: int) -> str:
    """Nothing that a font or an SVG file cannot hold; long names lose their middle."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    shown = shown.encode("utf-8", "replace").decode()
    return (
        shown
        if len(shown) <= most
        else f"{shown[: most // 2]}\N{HORIZONTAL ELLIPSIS}{shown[-(most // 2) :]}"
    )
