"""Turn input into an update: key=value, JSON, files, lines, conditions."""
