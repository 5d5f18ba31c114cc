"""A local server that answers as the platform does."""
