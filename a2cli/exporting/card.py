"""The model card of an export: what it is, how it is loaded, what it lost, whose it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from a2cli import __version__
from a2cli.config.load import dump_yaml
from a2cli.exporting.measure import Loss
from a2cli.exporting.source import EMBEDDED, Source, is_hub_id

FLUX_DEV = "black-forest-labs/FLUX.1"
_LIBRARIES = {"peft": "peft", "diffusers": "diffusers", "merged": "diffusers"}
_NANO_DATA = (
    "Pairs drawn by `a2 dataset synth`: Noto Color Emoji glyphs (SIL Open Font License 1.1) and photographs of "
    "scikit-image and scikit-learn (public domain, CC0, CC BY 2.0). The card of nano inside a2 lists every one."
)


@dataclass(frozen=True)
class Written:
    """What a writer says of the files it made.

    `limits`: one sentence without its stop, what the format does not carry. `use`: Markdown, how the files are loaded.
    `facts` go on record as JSON values.
    """

    limits: str
    use: str
    facts: dict[str, Any] = field(default_factory=dict)


def tell_limits(source: Source, client: str) -> str:
    """What low-rank updates do not carry, whoever loads them."""
    passes = (
        f"{client} runs the base in one pass over photo and noise, without the reference's tokens that a2's context "
        "pass puts in"
    )
    if source.routing is None:
        return passes
    return (
        f"The experts' routing, which mixes them anew for every edit, is frozen to one mixture; and {passes}"
    )


def get_base_lines(source: Source) -> str:
    """Lines of Python that say what BASE is in a card's program."""
    base_id = source.origin.base_id
    if base_id == EMBEDDED:
        return 'from importlib.resources import files\n\nBASE = str(files("a2cli") / "assets" / "nano")'
    where = "" if is_hub_id(base_id) else "  # its folder or hub id"
    return f"BASE = {json.dumps(base_id)}{where}"


def get_parts_left_out(source: Source) -> str:
    """Arguments for diffusers' pipeline, to follow others: nano has no CLIP, which FluxFillPipeline asks for."""
    return ", text_encoder=None, tokenizer=None" if source.origin.base_id == EMBEDDED else ""


def build_card(source: Source, written: Written, loss: Loss | None) -> str:
    """The text of README.md."""
    origin, config = source.origin, source.config
    front: dict[str, Any] = {
        "library_name": _LIBRARIES.get(config.format, "a2cli"),
        "base_model": origin.base_id,
        "base_model_relation": "merge" if config.format == "merged" else "adapter",
        "tags": ["image-editing", "inpainting", *(["lora"] if config.format != "merged" else [])],
        **_get_licence(source),
    }
    if not is_hub_id(origin.base_id):  # the hub looks for what is named here
        del front["base_model"], front["base_model_relation"]
    parts = [
        f"---\n{dump_yaml(front)}---\n",
        f"# {origin.name}, exported to {config.format}\n",
        f"{_tell_kind(source)} Exported by a2 {__version__}.\n",
        "## What this format does not carry\n",
        f"{written.limits}.\n",
        _tell_routing(source),
        "## Loss of quality\n",
        f"{_tell_loss(source, loss)}\n",
        "## Use\n",
        f"{written.use}\n",
        "## Base and data\n",
        _tell_base(source),
        f"{_tell_data(source)}\n",
        f"```json\n{json.dumps(origin.recipe, indent=2)}\n```\n" if origin.recipe else "",
        "## Licence\n",
        f"{_tell_licence(source)}\n",
    ]
    return "\n".join(part for part in parts if part)


def _tell_kind(source: Source) -> str:
    experts = source.origin.experts
    if experts is None:
        return "A plain low-rank adapter for reference-guided editing."
    return (
        f"Experts for reference-guided editing (A2-Edit, section 3.2): {experts.num_experts} of rank {experts.rank} on "
        f"the `{experts.targets}` linears of each block, routing `{experts.routing}`."
    )


def _tell_routing(source: Source) -> str:
    routing = source.routing
    if routing is None:
        return ""
    return (
        f"The routing that was frozen is that of {routing.said} ({routing.samples} in all). One pass's gates are "
        f"{routing.spread:.4f} from the mean on average, on a scale from 0 to 1. `routing.json` has them by block.\n"
    )


def _tell_loss(source: Source, loss: Loss | None) -> str:
    cut = (
        f"Of the updates {100 * source.lost:.2f} % (Frobenius norm) went with the rank. "
        if source.lost
        else ""
    )
    if loss is not None:
        return f"{cut}Measured with a2's own two passes: {loss.tell()}."
    if source.routing is None and not source.lost:
        return "None: these are the adapter's own updates, up to rounding."
    return f"{cut}Not measured (`--measure 0`)."


def _tell_base(source: Source) -> str:
    origin = source.origin
    base = f"`{origin.base_id}`" if origin.base_id else "not stated"
    digest = f", weights with hash `{origin.base_hash[:16]}`" if origin.base_hash else ""
    return f"Base: {base}{digest}. Adapter: `{origin.name}`, hash `{origin.adapter_hash[:16]}`.\n"


def _tell_data(source: Source) -> str:
    if source.config.adapter == EMBEDDED:
        return f"Data: {_NANO_DATA}"
    recipe = "the recipe is:" if source.origin.recipe else "it states no recipe."
    return f"Data: those the adapter was trained on, which its own card may name; {recipe}"


def _get_licence(source: Source) -> dict[str, str]:
    if source.config.license:
        return {"license": source.config.license}
    if source.config.adapter == EMBEDDED:
        return {"license": "apache-2.0"}
    if source.origin.base_id.startswith(FLUX_DEV):
        return {"license": "other", "license_name": "flux-1-dev-non-commercial-license"}
    return {"license": "unknown"}


def _tell_licence(source: Source) -> str:
    licence = _get_licence(source)
    if source.config.license:
        return f"{source.config.license}, as whoever exported it said."
    if source.config.adapter == EMBEDDED:
        return "Apache-2.0, as a2 itself."
    if "license_name" in licence:
        return "An adapter of FLUX.1 [dev] is a derivative under that model's non-commercial licence."
    return "Not stated: ask whoever trained the adapter. What is made from a base is under the base's licence too."
