"""The Typer app, the shared options, and the one error boundary."""
