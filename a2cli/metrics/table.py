"""The table of metrics: what each one is called, means, needs and where it is defined. Importing it loads no framework.

A value is called by its metric's name, which stands for the whole picture, or NAME@crop (the mask's bounding box) or
NAME@mask (the masked pixels). Metrics without regions have one meaning only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

Need = Literal["target", "source", "reference", "prompt"]
EVERYWHERE = ("image", "crop", "mask")


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `family` names the module that computes it, together with the others of that family.

    `regions` is empty for a metric of one meaning. `of_set`: a value of all edits together, not of one. `needs` is
    what a record must have. `source` is the publication.
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

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of its values: ("ssim", "ssim@crop", "ssim@mask")."""
        return tuple(get_key(self.name, region) for region in self.regions) or (self.name,)


def get_key(name: str, region: str) -> str:
    """The name of a metric's value over a region."""
    return name if region == "image" else f"{name}@{region}"


def _m(
    name: str, family: str, better: str, unit: str, definition: str, source: str, **rest: object
) -> MetricInfo:
    return MetricInfo(name, family, better == "higher", unit, definition, source, **rest)  # type: ignore[arg-type]


_LPIPS = "weighted squared distance of unit-length features, averaged over places, summed over layers"
_ZHANG = "Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, 2018, eq. 1"
_CLIP = "Radford et al., Learning transferable visual models, 2021; Hessel et al., CLIPScore, 2021"
_COSINE = "cosine of the image embeddings of the edit and of the"
_DINO2 = "Oquab et al., DINOv2, 2023; class token after the last norm"
_DINO1 = (
    "Caron et al., Emerging properties in self-supervised vision transformers, 2021; ViT-S/16, class token"
)
_FID = "Heusel et al., GANs trained by a two time-scale update rule, 2017"
_KID = "Binkowski et al., Demystifying MMD GANs, 2018; unbiased, cubic kernel, all samples at once"
_CLEAN = "Inception features of pictures resized as clean-fid does (antialiased bicubic, unrounded)"
_LEGACY = "Inception features of pictures resized as pytorch-fid does (bilinear, not antialiased)"
_SIMAKOV = "Simakov et al., Summarizing visual data using bidirectional similarity, 2008, eq. 1"
_A2 = "A2-Edit, appendix D"
_VIE = "Ku et al., VIEScore, 2024"
_ONE: dict[str, object] = {"regions": ()}
_REF: dict[str, object] = {"needs": ("reference",)}
_KEEP: dict[str, object] = {"needs": ("source",), "regions": ()}
_SET: dict[str, object] = {"of_set": True}
_VLM: dict[str, object] = {"needs": ("source", "reference"), "regions": ()}
_SC: dict[str, object] = {"needs": ("source", "prompt"), "regions": ()}

METRICS: dict[str, MetricInfo] = {
    info.name: info
    for info in (
        _m(
            "l1",
            "pixel",
            "lower",
            "0 to 1",
            "mean absolute difference to the target, values in [0, 1]",
            "MagicBrush, 2023",
        ),
        _m(
            "l2",
            "pixel",
            "lower",
            "0 to 1",
            "mean squared difference to the target, values in [0, 1]",
            "MagicBrush, 2023",
        ),
        _m(
            "psnr",
            "pixel",
            "higher",
            "dB",
            "10 log10(255^2 / mean squared difference), at most 100",
            "Wang et al., 2004",
        ),
        _m(
            "ssim",
            "ssim",
            "higher",
            "-1 to 1",
            "structural similarity, Gaussian window, sigma 1.5",
            "Wang et al., 2004",
        ),
        _m("lpips_alex", "lpips", "lower", "0 and up", f"{_LPIPS}; AlexNet", _ZHANG),
        _m("lpips_vgg", "lpips", "lower", "0 and up", f"{_LPIPS}; VGG-16", _ZHANG),
        _m("lpips_squeeze", "lpips", "lower", "0 and up", f"{_LPIPS}; SqueezeNet 1.1", _ZHANG),
        _m("clip_i", "similarity", "higher", "-1 to 1", f"{_COSINE} target, CLIP", _CLIP),
        _m("clip_i_ref", "similarity", "higher", "-1 to 1", f"{_COSINE} reference, CLIP", _CLIP, **_REF),
        _m(
            "clip_t",
            "similarity",
            "higher",
            "-1 to 1",
            "cosine of the embeddings of the edit and of its prompt, CLIP",
            _CLIP,
            needs=("prompt",),
        ),
        _m("dino_i", "similarity", "higher", "-1 to 1", f"{_COSINE} target, DINOv2", _DINO2),
        _m("dino_i_ref", "similarity", "higher", "-1 to 1", f"{_COSINE} reference, DINOv2", _DINO2, **_REF),
        _m("dino1_i", "similarity", "higher", "-1 to 1", f"{_COSINE} target, DINO ViT-S/16", _DINO1),
        _m(
            "dino1_i_ref",
            "similarity",
            "higher",
            "-1 to 1",
            f"{_COSINE} reference, DINO ViT-S/16",
            _DINO1,
            **_REF,
        ),
        _m(
            "fid",
            "frechet",
            "lower",
            "0 and up",
            f"Frechet distance of {_CLEAN}",
            f"{_FID}; Parmar et al., 2022",
            **_SET,
        ),
        _m("kid", "frechet", "lower", "about 0 and up", f"squared MMD of {_CLEAN}", _KID, **_SET),
        _m("fid_legacy", "frechet", "lower", "0 and up", f"Frechet distance of {_LEGACY}", _FID, **_SET),
        _m("kid_legacy", "frechet", "lower", "about 0 and up", f"squared MMD of {_LEGACY}", _KID, **_SET),
        _m(
            "histogram",
            "color",
            "higher",
            "0 to 1",
            "RGB histogram intersection of the masked pixels with the reference's subject",
            "Swain and Ballard, Color indexing, 1991",
            **_REF,
            **_ONE,
        ),
        _m("patches", "patches", "lower", "0 to 1", "mean of the two below", _SIMAKOV, **_REF, **_ONE),
        _m(
            "patches_completeness",
            "patches",
            "lower",
            "0 to 1",
            "distance from the reference's patches to the nearest of the edit",
            _SIMAKOV,
            **_REF,
            **_ONE,
        ),
        _m(
            "patches_coherence",
            "patches",
            "lower",
            "0 to 1",
            "distance from the edit's patches to the nearest of the reference",
            _SIMAKOV,
            **_REF,
            **_ONE,
        ),
        _m(
            "outside_pixels",
            "preservation",
            "lower",
            "pixels",
            "pixels outside the mask that differ from the source",
            "a2",
            **_KEEP,
        ),
        _m(
            "outside_changed",
            "preservation",
            "lower",
            "0 to 1",
            "their share of all pixels outside",
            "a2",
            **_KEEP,
        ),
        _m(
            "outside_mean",
            "preservation",
            "lower",
            "levels",
            "mean absolute change outside the mask, of 255",
            "a2",
            **_KEEP,
        ),
        _m(
            "outside_max",
            "preservation",
            "lower",
            "levels",
            "largest change outside the mask, of 255",
            "a2",
            **_KEEP,
        ),
        _m(
            "seam",
            "seam",
            "lower",
            "levels",
            "gradient across the mask's border beyond that beside it",
            "a2",
            needs=(),
            regions=(),
        ),
        _m(
            "adherence",
            "adherence",
            "higher",
            "0 to 1",
            "intersection over union of what changed and the mask",
            "a2",
            **_KEEP,
        ),
        _m(
            "vlm",
            "judge",
            "higher",
            "1 to 100",
            "mean of the three below, each asked of a vision-language model",
            _A2,
            **_VLM,
        ),
        _m("vlm_boundary", "judge", "higher", "1 to 100", "quality of the border", _A2, **_VLM),
        _m("vlm_realism", "judge", "higher", "1 to 100", "visual realism", _A2, **_VLM),
        _m("vlm_consistency", "judge", "higher", "1 to 100", "consistency with the reference", _A2, **_VLM),
        _m(
            "vie_sc",
            "judge",
            "higher",
            "0 to 10",
            "semantic consistency: least of instruction followed, rest kept",
            _VIE,
            **_SC,
        ),
        _m(
            "vie_pq",
            "judge",
            "higher",
            "0 to 10",
            "perceptual quality: least of naturalness, absence of artifacts",
            _VIE,
            **_SC,
        ),
        _m("vie_o", "judge", "higher", "0 to 10", "geometric mean of the two above", _VIE, **_SC),
    )
}
GROUPS: dict[str, tuple[str, ...]] = {
    "default": ("l1", "l2", "psnr", "ssim", "histogram", "patches", "preservation", "seam", "adherence"),
    "paper": ("dino_i", "clip_i", "lpips_alex", "fid"),  # the columns of A2-Edit's tables 1 and 2
    "magicbrush": ("l1", "l2", "clip_i", "dino1_i", "clip_t"),
    "lpips": ("lpips_alex",),
    "preservation": ("outside_pixels", "outside_changed", "outside_mean", "outside_max"),
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
