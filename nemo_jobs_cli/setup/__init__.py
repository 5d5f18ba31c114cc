"""The questions of `init`, and the profile they make."""
