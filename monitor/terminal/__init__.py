"""What people see at a terminal."""

from monitor.terminal.screens import LiveScreen, PlainScreen, reading
from monitor.terminal.tables import alert_text, print_alerts, run_lines, run_table

__all__ = [
    "LiveScreen",
    "PlainScreen",
    "alert_text",
    "print_alerts",
    "reading",
    "run_lines",
    "run_table",
]
