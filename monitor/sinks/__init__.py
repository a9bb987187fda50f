"""Where alerts go; one file each. Sinks see alerts and notices, never sources or the engine."""
