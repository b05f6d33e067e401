"""How an edit was made, as Stable Diffusion web UIs write it: what galleries and other tools read."""

from __future__ import annotations

import json

from a2cli.provenance.recipe import SHIPPED, Recipe

SAMPLER = "Euler"  # the one an edit is sampled with
HASH_CHARS = 10


def get_parameters(recipe: Recipe, width: int, height: int) -> str:
    """The prompt on lines of its own, if there is one, then `Steps: 4, Sampler: Euler, ...` on the last.

    width, height: of the picture, px. Values with a comma, a colon or a newline are quoted as JSON. Source: the text
    AUTOMATIC1111's web UI writes ("infotext").
    """
    values = {
        "Steps": recipe.steps,
        "Sampler": SAMPLER,
        "CFG scale": f"{recipe.guidance:g}",
        "Seed": recipe.seed,
        "Size": f"{width}x{height}",
        "Model hash": recipe.base_hash[:HASH_CHARS],
        "Model": recipe.backbone if recipe.model == SHIPPED else recipe.model,
        "Version": f"a2 {recipe.a2}",
    }
    line = ", ".join(f"{key}: {_quote(str(value))}" for key, value in values.items() if value != "")
    prompt = recipe.prompt.strip()
    return f"{prompt}\n{line}" if prompt else line


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ",:\n") else value
