"""Report a job's progress to NVIDIA NeMo Platform."""

__version__ = "1.0.0"
