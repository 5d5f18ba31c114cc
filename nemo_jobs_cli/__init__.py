"""Report a job's progress to NVIDIA NeMo Platform."""

__version__ = "0.1.0"
