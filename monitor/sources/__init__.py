"""Where bytes come from: files that grow, log directories, and what wakes the daemon."""
