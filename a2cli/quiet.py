"""Libraries that talk while they are imported or load a model; what they say helps nobody at a command line."""

from __future__ import annotations

import logging
import os
import warnings

# diffusers and peft import these where they are installed, and they say what they lack on this machine.
_TALKATIVE = ("torchao", "bitsandbytes", "torch.utils._pytree")


def quieten_libraries() -> None:
    """Keep libraries from writing progress bars and advice to stderr; settings of the user's own stand."""
    for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB", "DATASETS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    for library in ("HF_HUB", "HF_DATASETS"):
        os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")  # autocast's norms on CPUs
