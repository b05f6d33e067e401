"""Stop at the first number that is not one, before it reaches a picture or a checkpoint."""

from __future__ import annotations

from torch import Tensor

from a2cli.errors import BackboneError


def require_finite(values: Tensor, what: str, *, hint: str = "") -> Tensor:
    """Return values unchanged; raise BackboneError with `what` in its text if any is NaN or infinite."""
    if not bool(values.isfinite().all()):
        kind = "NaN" if bool(values.isnan().any()) else "infinite values"
        raise BackboneError(f"{what}: {kind}", hint=hint)
    return values
