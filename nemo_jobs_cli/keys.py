"""Know the keys of status details that the platform's own pages read, and their types."""

from __future__ import annotations

# Measured on the web page: it calls .toFixed(2) on progress, so text there breaks it; the others are charts.
NUMBERS = frozenset(
    {
        "progress",
        "percentage_done",
        "step",
        "max_steps",
        "epoch",
        "num_epochs",
        "train_loss",
        "val_loss",
        "lr",
        "grad_norm",
        "input_tokens",
        "output_tokens",
    },
)

TEXTS = frozenset({"status", "message", "phase", "stage", "checkpoint_path", "lastUpdated"})

PROGRESS = "progress"
PROGRESS_MAX = 100

STAMP = "lastUpdated"
