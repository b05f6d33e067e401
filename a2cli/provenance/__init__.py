"""How an edit was made: written into its picture, read back, repeated, signed."""

from __future__ import annotations

from a2cli.provenance.recipe import InputFile, Recipe, RecipeInputs, read_recipe
from a2cli.provenance.repeat import build_config

__all__ = ["InputFile", "Recipe", "RecipeInputs", "build_config", "read_recipe"]
