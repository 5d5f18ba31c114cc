"""The platform as Python: session, jobs, their status, waiting."""
