"""What people see at a terminal."""

from monitor.terminal.screens import LiveScreen, PlainScreen, reading
from monitor.terminal.tables import Said, print_alerts, run_lines, run_table

__all__ = [
    "LiveScreen",
    "PlainScreen",
    "Said",
    "print_alerts",
    "reading",
    "run_lines",
    "run_table",
]
