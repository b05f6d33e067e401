"""From a method's settings to the method, its weights loaded."""

from __future__ import annotations

from a2cli.errors import ConfigError
from a2cli.evaluation.config import BASELINES, MethodConfig
from a2cli.evaluation.methods.base import Method


def build_method(config: MethodConfig, *, device: str = "auto") -> Method:
    """Open a method. Raises `BackboneError` and `CheckpointError` as loading does.

    A method that trains first comes here with the adapter it has got, see `a2cli.evaluation.editing.training_first`;
    before that it is refused with `ConfigError`.
    """
    if config.train is not None:
        raise ConfigError(f"methods.{config.name}: its adapter has to be trained first")
    if config.kind in BASELINES:
        from a2cli.evaluation.methods.baselines import BaselineMethod

        return BaselineMethod(config)
    if config.kind == "fill":
        from a2cli.evaluation.methods.fill import FillMethod

        return FillMethod(config, device=device)
    if config.kind == "diptych":
        from a2cli.evaluation.methods.diptych import DiptychMethod

        return DiptychMethod(config, device=device)
    from a2cli.evaluation.methods.editor import A2Method

    return A2Method(config, device=device)
