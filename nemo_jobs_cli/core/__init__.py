"""Errors, text, times, deadlines, names and files, for every room."""
