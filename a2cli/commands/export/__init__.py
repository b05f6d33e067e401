"""a2 export: an adapter in the formats of other tools."""

from __future__ import annotations

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.export import options as x
from a2cli.config.export import ExportConfig


def export(
    adapter: x.Adapter,
    format: x.Format,
    out: x.Out,
    category: x.Category = None,
    ref: x.Ref = None,
    ref_mask: x.RefMask = None,
    photo: x.Photo = None,
    mask: x.Mask = None,
    prompt: x.Prompt = "",
    data: x.Data = ExportConfig.data,
    pairs: x.Pairs = ExportConfig.pairs,
    measure: x.Measure = ExportConfig.measure,
    seed: o.Seed = ExportConfig.seed,
    rank: x.Rank = None,
    dtype: x.Dtype = ExportConfig.dtype,
    backbone: x.Backbone = None,
    model: o.Model = None,
    device: o.Device = ExportConfig.device,
    license: x.License = None,
    push_to_hub: x.PushToHub = None,
    private: x.Private = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write an adapter in the format of another tool, with a model card.

    Experts are mixed anew for every edit, which no other format knows: one mixture is frozen, by default that of all
    categories. What is lost is measured on held-out pairs and stands in the card.
    """
    given = dict(locals())
    fields = {name: value for name, value in given.items() if name in ExportConfig.__dataclass_fields__}
    config = ExportConfig(**fields)

    from a2cli.exporting.run import run_export

    with open_console(quiet=quiet) as console:
        for result in run_export(config, console.progress, console.note):
            console.result(result.path, result.to_dict() if json else None)
