"""Errors, text, times, deadlines, names and files: plain things that every room may use."""
