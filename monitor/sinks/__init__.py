"""Where alerts go; one file each. Sinks see alerts and notices, never sources or the engine."""


class UnusableError(ValueError):
    """A sink cannot be had as it was asked for; the message says why, and nothing secret."""
