"""Deliver updates to the platform; on failure, store or drop them."""
