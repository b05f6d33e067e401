"""a2 edit: put the object of a reference photo under the mask of a photo."""

from __future__ import annotations

import sys

from a2cli.commands import options as o
from a2cli.commands.console import not_built, open_console
from a2cli.config.edit import EditConfig, check_source_form
from a2cli.config.localize import read_threshold
from a2cli.errors import ConfigError


def edit(
    ref: o.Ref,
    sources: o.Sources = None,
    mask: o.Mask = None,
    ref_mask: o.RefMask = None,
    prompt: o.Prompt = "",
    localize: o.Localize = None,
    keyword: o.Keyword = None,
    threshold: o.Threshold = "auto",
    fit_mask: o.FitMask = False,
    max_pixels: o.MaxPixels = EditConfig.max_pixels,
    out: o.Out = None,
    save_region: o.SaveRegion = None,
    save_attention: o.SaveAttention = None,
    num_images: o.NumImages = 1,
    feather: o.Feather = EditConfig.feather,
    json: o.Json = False,
    no_metadata: o.NoMetadata = False,
    backbone: o.Backbone = EditConfig.backbone,
    model: o.Model = None,
    adapter: o.Adapter = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    seed: o.Seed = 0,
    device: o.Device = EditConfig.device,
    dtype: o.Dtype = EditConfig.dtype,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    manifest: o.Manifest = None,
    skip_existing: o.SkipExisting = False,
    workers: o.Workers = None,
    engine: o.Engine = "local",
    vram: o.Vram = None,
    offload: o.Offload = None,
    quantize: o.Quantize = None,
    allow_urls: o.AllowUrls = False,
) -> None:
    """Put the object of a reference photo into a photo, under a mask or where --prompt says.

    Pixels outside the region and its feather stay as they are, bit for bit. The source may be a file, - or
    a pipe on stdin, or the --mask itself: a copy of the photo with the region rubbed out to transparency.
    """
    given = dict(locals())
    later = ("manifest", "skip_existing", "workers", "vram", "offload", "quantize", "allow_urls")
    for name in later:
        if given[name]:
            raise not_built(f"--{name.replace('_', '-')}")
    if engine != "local":
        raise not_built("--engine other than local")
    fields = {name: value for name, value in given.items() if name in EditConfig.__dataclass_fields__}
    fields |= {"sources": tuple(sources or ()), "adapter": tuple(adapter) if adapter else None}
    config = EditConfig(**fields | {"metadata": not no_metadata, "threshold": read_threshold(threshold)})
    check_source_form(config)
    if out == "-" and sys.stdout.isatty():
        raise ConfigError(
            "a picture is not written to a terminal", hint="pipe the output, or name a file with -o"
        )

    from a2cli.backbones.registry import check_backbone_name

    check_backbone_name(config.backbone)
    from a2cli.engine.edit import run_edit

    with open_console(quiet=quiet) as console:
        for result in run_edit(config, console.progress, console.note):
            if out != "-":
                console.result(result.path, result.to_dict() if json else None)
