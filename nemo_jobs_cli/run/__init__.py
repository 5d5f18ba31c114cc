"""A wrapped command: process, signals, terminal, channel, status fields."""
