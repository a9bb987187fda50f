"""Finding and loading rule files."""

from __future__ import annotations

from pathlib import Path

from monitor.rules.model import RuleError, RuleSet, RulesInvalid
from monitor.rules.parse import parse


def default_path() -> Path:
    """The rules that come with the monitor: in the package, or else at the checkout's top."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "rules.yaml"
    return packaged if packaged.is_file() else package.parent / "rules.yaml"


def load(path: Path | str | None = None) -> RuleSet:
    """Reads a rule file; None means the rules that come with the monitor.

    Raises:
        RulesInvalid: with every error at once.
        OSError: if the file cannot be read.
    """
    file = default_path() if path is None else Path(path)
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        message = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise RulesInvalid((RuleError(str(file), line, column, message),)) from None
    return parse(text, str(file))
