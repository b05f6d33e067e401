"""a2 edit: put the object of a reference photo under the mask of a photo, or of as many as there are."""

from __future__ import annotations

from typer import Context, Exit

from a2cli.commands import options as o
from a2cli.commands.edit import options as e
from a2cli.commands.edit import run_options as r
from a2cli.commands.edit.given import read_given
from a2cli.commands.edit.run import run
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig


def edit(
    context: Context,
    sources: e.Sources = None,
    refs: e.Refs = None,
    mask: e.Mask = None,
    ref_mask: e.RefMask = None,
    prompt: e.Prompt = "",
    config: e.Config = None,
    from_: e.From = None,
    allow_urls: e.AllowUrls = False,
    fit_mask: e.FitMask = False,
    max_pixels: e.MaxPixels = EditConfig.max_pixels,
    pick: e.Pick = False,
    pick_port: e.PickPort = 0,
    localize: e.Localize = None,
    keyword: e.Keyword = None,
    threshold: e.Threshold = "auto",
    out: e.Out = None,
    save_region: e.SaveRegion = None,
    save_attention: e.SaveAttention = None,
    num_images: e.NumImages = 1,
    feather: e.Feather = EditConfig.feather,
    json: o.Json = False,
    no_metadata: e.NoMetadata = False,
    sign: e.Sign = None,
    manifest: r.Manifest = None,
    null: r.Null = False,
    limit: r.Limit = None,
    preview: r.Preview = None,
    skip_existing: r.SkipExisting = False,
    resume: r.Resume = False,
    shard: r.Shard = None,
    workers: r.Workers = BatchConfig.workers,
    engine: r.Engine = BatchConfig.engine,
    address: r.Address = None,
    retries: r.Retries = BatchConfig.retries,
    timeout: r.Timeout = BatchConfig.timeout_s,
    backbone: r.Backbone = EditConfig.backbone,
    model: r.Model = None,
    adapter: r.Adapter = None,
    steps: r.Steps = None,
    guidance: r.Guidance = None,
    seed: r.Seed = 0,
    device: o.Device = EditConfig.device,
    dtype: r.Dtype = EditConfig.dtype,
    vram: r.Vram = None,
    offload: r.Offload = None,
    quantize: r.Quantize = None,
    dry_run: r.DryRun = False,
    quiet: o.Quiet = False,
) -> None:
    """Put the object of a reference photo into a photo, or thousands, under a mask or where --prompt says.

    Pixels outside the region and its feather stay as they are, bit for bit. The source may be a
    file, - or a pipe on stdin, or the --mask itself: a copy of the photo with the region rubbed
    out to transparency. Of several edits results.jsonl and failures.jsonl in the output folder
    say what became of each.
    """
    if code := run(read_given(context)):
        raise Exit(code)
