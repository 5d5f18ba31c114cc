"""Everything that prints or asks; the only room that knows rich."""
