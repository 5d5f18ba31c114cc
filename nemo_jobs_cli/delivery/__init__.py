"""Deliver one update or many to the platform; on failure, store or drop them."""
