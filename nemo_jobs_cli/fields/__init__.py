"""What a user writes becomes an update: key=value, JSON, files, lines, conditions."""
