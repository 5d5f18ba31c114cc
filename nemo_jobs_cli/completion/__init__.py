"""TAB: answer, cache, scripts, install."""
