"""List the detail keys that the platform's web page shows."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` would take a third of the time of a TAB
if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet

# The web page calls .toFixed(2) on progress, which fails for text, and draws the others as charts.
NUMBERS = frozenset({
    "progress", "percentage_done", "step", "max_steps", "epoch", "num_epochs", "train_loss", "val_loss", "lr",
    "grad_norm", "input_tokens", "output_tokens", "loss", "accuracy", "learning_rate", "perplexity",
})  # fmt: skip

# Keys with these endings are numbers too: train_accuracy, validation_loss.
NUMBER_ENDINGS = ("_loss", "_accuracy")

TEXTS = frozenset({"status", "message", "phase", "stage", "checkpoint_path", "lastUpdated"})

PROGRESS = "progress"
PROGRESS_MAX = 100

STAMP = "lastUpdated"


def is_number_key(key: str, numbers: Collection[str] = NUMBERS) -> bool:
    """Return whether the text of `key=text` must be a number.

    `numbers` are `NUMBERS` and those that the user adds.
    """
    return key in numbers or key.endswith(NUMBER_ENDINGS)


def correct_key(key: str) -> str:
    """Return the known key that differs from `key` by case or one edit, or ""."""
    if key.lower() in _FOLDED:
        return _FOLDED[key.lower()]
    return next((known for known in sorted(NUMBERS | TEXTS) if len(known) > 4 and _one_edit(key, known)), "")  # noqa: PLR2004


def typo_warnings(keys: Collection[str], numbers: AbstractSet[str]) -> dict[str, str]:
    """Return a warning for each key that is nearly a known one, by key."""
    import re  # not for a TAB

    warnings = {}
    for key in keys:
        if key in numbers or key in NUMBERS or key in TEXTS or not re.fullmatch(r"\s*[A-Za-z_-]{2,20}\s*", key):
            continue
        bare = key.strip()
        guess = bare if bare in NUMBERS or bare in TEXTS else correct_key(bare)
        if guess and guess not in keys:
            quoted = key if bare == key else repr(key)
            warnings[key] = f"{quoted} is not a key that the platform shows; did you mean {guess}?"
    return warnings


_FOLDED = {key.lower(): key for key in NUMBERS | TEXTS}


def _one_edit(one: str, other: str) -> bool:
    """Return whether two words differ by one edit or swap of letters."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[2:] == b[2:] and a[:2] == b[1::-1])
