"""Libraries that talk while they are imported or load a model; what they say helps nobody at a command line."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module

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


@contextmanager
def loading_quietly(*libraries: str) -> Iterator[None]:
    """Keep bars and reports of "transformers" and "diffusers" off stderr while weights load, then as before.

    What matters of them is raised. Neither reads a variable for its bars. Imports the libraries.
    """
    with ExitStack() as after:
        for library in libraries:
            voice = import_module(f"{library}.utils.logging")
            after.callback(voice.set_verbosity, voice.get_verbosity())
            voice.set_verbosity(logging.CRITICAL)
            if voice.is_progress_bar_enabled():
                after.callback(voice.enable_progress_bar)
                voice.disable_progress_bar()
        yield
