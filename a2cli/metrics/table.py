"""The table of metrics: what each one is called, means, needs and where it is defined. Importing it loads no framework.

A value is called by its metric's name, which stands for the whole picture, or NAME@crop (the mask's bounding box) or
NAME@mask (the masked pixels). Metrics without regions have one meaning only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

Need = Literal["target", "source", "reference", "prompt", "source_caption", "region"]
EVERYWHERE = ("image", "crop", "mask")


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `family` names the module that computes it, together with the others of that family.

    `regions` is empty for a metric of one meaning. `of_set`: a value of all edits together, not of one. `needs` is
    what a record must have. `weights` are the networks it runs, by their names in a folder of weights; metrics that
    share them are opened together. `source` is the publication.
    """

    name: str
    family: str
    higher_is_better: bool
    unit: str
    definition: str
    source: str
    needs: tuple[Need, ...] = ("target",)
    regions: tuple[str, ...] = EVERYWHERE
    of_set: bool = False
    weights: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of its values: ("ssim", "ssim@crop", "ssim@mask")."""
        return tuple(get_key(self.name, region) for region in self.regions) or (self.name,)


def get_key(name: str, region: str) -> str:
    """The name of a metric's value over a region."""
    return name if region == "image" else f"{name}@{region}"


def _family(
    family: str, better: str, unit: str, source: str, /, **shared: Any
) -> Callable[..., list[MetricInfo]]:
    """Make metrics, given as NAME="definition", that have all else in common."""

    def define(**definitions: str) -> list[MetricInfo]:
        higher = better == "higher"
        return [
            MetricInfo(n, family, higher, unit, text, source, **shared) for n, text in definitions.items()
        ]

    return define


_ZHANG = "Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, 2018, eq. 1"
_RADFORD = "Radford et al., Learning transferable visual models, 2021; Hessel et al., CLIPScore, 2021"
_CARON = "Caron et al., Emerging properties in self-supervised vision transformers, 2021; MagicBrush, 2023"
_HEUSEL = "Heusel et al., GANs trained by a two time-scale update rule, 2017"
_BINKOWSKI = "Binkowski et al., Demystifying MMD GANs, 2018; unbiased, cubic kernel, all samples at once"
_GAL = "Gal et al., StyleGAN-NADA, 2022; as CLIPdir in Sheynin et al., Emu Edit, 2023"
_SIMAKOV = "Simakov et al., Summarizing visual data using bidirectional similarity, 2008, eq. 1"

_LPIPS = "weighted squared distance of unit-length features, averaged over places, summed over layers"
_COSINE = "cosine of the features of the edit and of the"
_CLIP = "CLIP's projected image feature"
_DINO2 = "DINOv2's class token after the last norm"
_DINO1 = "class token of DINO's ViT-S/16 after the last norm; the middle 224 of 256 px"
_CLEAN = "Inception features of pictures resized as clean-fid does (antialiased bicubic, unrounded)"
_ELSE = ", or the photos where another reference leaves no target"
_FEATHER = "; a feather across the mask's border counts too"
_LEGACY = "Inception features of pictures resized as pytorch-fid does (bilinear, not antialiased)"

_pixel = partial(_family, "pixel")
_lpips = partial(_family, "lpips", "lower", "0 and up", _ZHANG)
_similarity = partial(_family, "similarity", "higher", "-1 to 1")
_frechet = partial(_family, "frechet", "lower", of_set=True, weights=("inception",))
_patches = partial(_family, "patches", "lower", "0 to 1", _SIMAKOV, needs=("reference",), regions=())
_preservation = partial(_family, "preservation", "lower", needs=("source",), regions=())
_judge = partial(_family, "judge", "higher", regions=())

METRICS: dict[str, MetricInfo] = {
    info.name: info
    for made in (
        _pixel("lower", "0 to 1", "MagicBrush, 2023")(
            l1="mean absolute difference to the target, values in [0, 1]",
            l2="mean squared difference to the target, values in [0, 1]",
        ),
        _pixel("higher", "dB", "Wang et al., 2004")(
            psnr="10 log10(255^2 / mean squared difference), at most 100"
        ),
        _family("ssim", "higher", "-1 to 1", "Wang et al., 2004")(
            ssim="structural similarity, Gaussian window, sigma 1.5"
        ),
        _lpips(weights=("alexnet", "lpips_alex"))(lpips_alex=f"{_LPIPS}; AlexNet"),
        _lpips(weights=("vgg16", "lpips_vgg"))(lpips_vgg=f"{_LPIPS}; VGG-16"),
        _lpips(weights=("squeezenet1_1", "lpips_squeeze"))(lpips_squeeze=f"{_LPIPS}; SqueezeNet 1.1"),
        _similarity(_RADFORD, weights=("clip",))(clip_i=f"{_COSINE} target: {_CLIP}"),
        _similarity(_RADFORD, weights=("clip",), needs=("reference",))(
            clip_i_ref=f"{_COSINE} reference: {_CLIP}"
        ),
        _similarity(_RADFORD, weights=("clip",), needs=("prompt",))(
            clip_t=f"{_COSINE} prompt: CLIP's projected features"
        ),
        _similarity(_GAL, weights=("clip",), needs=("source", "prompt", "source_caption"), regions=())(
            clip_dir="cosine of the way from source to edit and the way from source caption to prompt, both between"
            " CLIP's projected features of unit length; 0 for an edit that CLIP sees no change in"
        ),
        _similarity("Oquab et al., DINOv2, 2023", weights=("dinov2",))(dino_i=f"{_COSINE} target: {_DINO2}"),
        _similarity("Oquab et al., DINOv2, 2023", weights=("dinov2",), needs=("reference",))(
            dino_i_ref=f"{_COSINE} reference: {_DINO2}"
        ),
        _similarity(_CARON, weights=("dino",))(dino1_i=f"{_COSINE} target: {_DINO1}"),
        _similarity(_CARON, weights=("dino",), needs=("reference",))(
            dino1_i_ref=f"{_COSINE} reference: {_DINO1}"
        ),
        _frechet("0 and up", f"{_HEUSEL}; Parmar et al., 2022")(
            fid=f"Frechet distance to the targets{_ELSE}: {_CLEAN}"
        ),
        _frechet("about 0 and up", _BINKOWSKI)(
            kid=f"squared MMD to the targets{_ELSE}, not times 1000: {_CLEAN}"
        ),
        _frechet("0 and up", _HEUSEL)(fid_legacy=f"as fid: {_LEGACY}"),
        _frechet("about 0 and up", _BINKOWSKI)(kid_legacy=f"as kid: {_LEGACY}"),
        _family(
            "color",
            "higher",
            "0 to 1",
            "Swain and Ballard, Color indexing, 1991",
            needs=("reference",),
            regions=(),
        )(histogram="RGB histogram intersection of the masked pixels with the reference's subject"),
        _patches()(
            patches="mean of the two below",
            patches_completeness="distance from the reference's patches to the nearest of the edit",
            patches_coherence="distance from the edit's patches to the nearest of the reference",
        ),
        _preservation("pixels", "a2")(
            outside_pixels=f"pixels outside the mask that differ from the source{_FEATHER}"
        ),
        _preservation("0 to 1", "a2")(
            outside_changed=f"share of the pixels outside the mask that differ from the source{_FEATHER}"
        ),
        _preservation("levels", "a2")(
            outside_mean=f"mean absolute change outside the mask, of 255{_FEATHER}",
            outside_max=f"largest change outside the mask, of 255{_FEATHER}",
        ),
        _family("seam", "lower", "levels", "a2", needs=(), regions=())(
            seam="gradient across the mask's border beyond that beside it"
        ),
        _family("adherence", "higher", "0 to 1", "a2", needs=("source",), regions=())(
            adherence="intersection over union of what changed and the mask; a hole in the source counts as changed,"
            " so that 1 then says only that nothing around it did"
        ),
        _family("leakage", "lower", "0 and up", "a2", needs=("source",))(
            changed_outside="pixels outside the true region, whatever mask was given, that changed by over 8 levels,"
            " as a share of its area; @mask of those under the given mask"
        ),
        _family("leakage", "lower", "levels", "a2", needs=("source",))(
            leak="mean absolute change outside the true region, of 255; @mask of what lies under the given mask"
        ),
        _family("leakage", "lower", "0 to 1", "a2", regions=())(
            l1_inside="as l1, over the true region whatever mask was given: what lies around it under a loose mask does"
            " not count"
        ),
        _family("region", "higher", "0 to 1", "a2", needs=("region",), regions=())(
            region_iou="intersection over union of the region that a method chose to edit and the true one"
        ),
        _judge("1 to 100", "A2-Edit, appendix D", needs=("source", "reference"))(
            vlm="mean of the three below, each asked of a vision-language model",
            vlm_boundary="how the subject meets its surroundings: no artifacts, hard edges or seams near the region",
            vlm_realism="whether the whole picture passes for a photograph: texture, light, coherence",
            vlm_consistency="whether the subject is sound and belongs there: whole, of fitting pose and scale",
        ),
        _judge("0 to 10", "Ku et al., VIEScore, 2024", needs=("source", "prompt"))(
            vie_sc="semantic consistency: least of instruction followed, rest kept",
            vie_pq="perceptual quality: least of naturalness, absence of artifacts",
            vie_o="geometric mean of the two above",
        ),
    )
    for info in made
}
GROUPS: dict[str, tuple[str, ...]] = {
    "default": ("l1", "l2", "psnr", "ssim", "histogram", "patches", "preservation", "seam", "adherence"),
    # The columns of A2-Edit's tables 1 and 2; they do not say whether similarity is to the target or the reference.
    "paper": ("dino_i", "dino_i_ref", "clip_i", "clip_i_ref", "lpips_alex", "fid"),
    "magicbrush": ("l1", "l2", "clip_i", "dino1_i", "clip_t"),
    "emu": ("l1", "clip_i", "clip_t", "clip_dir", "dino1_i"),
    "lpips": ("lpips_alex",),
    "preservation": ("outside_pixels", "outside_changed", "outside_mean", "outside_max"),
    "region": ("changed_outside", "leak", "l1_inside", "region_iou"),
    "patches": ("patches", "patches_completeness", "patches_coherence"),
    "all": tuple(name for name, info in METRICS.items() if info.family != "judge"),
}


def choose_metrics(names: Iterable[str]) -> tuple[MetricInfo, ...]:
    """The metrics of a list of names and groups, each once, in the table's order.

    Raises `ConfigError` for an unknown name, with a suggestion, and for an empty list.
    """
    chosen: set[str] = set()
    for name in names:
        chosen |= _unfold(name, ())
    if not chosen:
        raise ConfigError("no metric is named", hint="--metrics default, or names with commas between them")
    return tuple(info for name, info in METRICS.items() if name in chosen)


def find_metric(key: str) -> MetricInfo:
    """The metric that a value's name (`ssim@crop`) belongs to. Raises `ConfigError` if there is none."""
    info = METRICS.get(key.partition("@")[0])
    if info is None or key not in info.keys:
        known = [k for i in METRICS.values() for k in i.keys]
        raise ConfigError(f"no metric is called {key!r}", hint=get_suggestion(key, known))
    return info


def _unfold(name: str, above: tuple[str, ...]) -> set[str]:
    if name in GROUPS and name not in above:
        return set().union(*(_unfold(part, (*above, name)) for part in GROUPS[name]))
    if name in METRICS:
        return {name}
    raise ConfigError(f"no metric is called {name!r}", hint=get_suggestion(name, [*GROUPS, *METRICS]))
