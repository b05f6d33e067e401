"""How well are held-out pairs edited? Masks, baselines, editors and the table of first light.

Each pair's own target is the truth: the region under a mask is taken out, every method fills it from the
reference, and the fill is compared with what was there. Nothing here trains, and no method sees the truth.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from a2cli.data.records import Pair
from a2cli.errors import ConfigError, DataError
from a2cli.masks.augment import RoughConfig
from a2cli.masks.curriculum import STAGES, apply_stage
from a2cli.masks.morph import get_iou
from a2cli.metrics.baselines import fill_mean, fill_telea, paste_reference, register_and_paste
from a2cli.metrics.color import histogram_intersection
from a2cli.metrics.patches import PATCH, SIDE, bidirectional_similarity
from a2cli.metrics.pixel import get_mean_and_error, get_ratio_and_error, masked_mae
from a2cli.metrics.preservation import compare_outside
from a2cli.metrics.seam import gradient_jump
from a2cli.types import Stage

Editor = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str, int], np.ndarray]
"""(source (H, W, 3) uint8 with HOLE under the mask, mask bool (H, W), ref_rgb, ref_mask, category, seed) to
the edited photo (H, W, 3) uint8 of the source's size."""

HOLE = 127  # grey level of the pixels taken out
BASELINES = ("mean", "telea", "paste", "registered")
TRUTH = "truth"
FIXED_ROUGH = RoughConfig(
    dilate=(0.06, 0.06), alpha=(0.1, 0.1), scale=(2.5, 2.5), delta=(5.3, 5.3), iou=(0, 1)
)
MEASURES = ("mae", "histogram", "patches", "completeness", "coherence", "seam")
UNITS = {
    "mae": "mean absolute error inside the given mask, values in [-1, 1]; lower is better",
    "histogram": "colour-histogram intersection with the reference's subject, 0 to 1; higher is better",
    "patches": f"bidirectional distance of {PATCH} px patches to the reference's subject at {SIDE} px,"
    " 0 to 1; lower is better",
    "completeness": "the half of `patches` from the reference to the edit: is all of the subject there?",
    "coherence": "the half of `patches` from the edit to the reference: is there anything else?",
    "seam": "gradient jump across the mask's border in grey levels; lower is better",
    "changed_outside": "share of pixels outside the mask that differ from the source",
}


@dataclass(frozen=True)
class HeldoutConfig:
    """protocols: which masks. pose_free: the protocols in which histogram, patches and seam are measured too.
    rough: strengths of the rough mask relative to the object's size; the box is the box of that rough mask.
    seed: changes the noise fields of the rough masks and the editors' seeds, nothing else.
    """

    protocols: tuple[Stage, ...] = STAGES
    pose_free: tuple[Stage, ...] = ("box",)
    rough: RoughConfig = FIXED_ROUGH
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.protocols, *self.pose_free) if name not in STAGES]
        if unknown or not self.protocols:
            raise ConfigError(
                f"heldout.protocols: {unknown or 'empty'}", hint=f"choose from {', '.join(STAGES)}"
            )


@dataclass(frozen=True)
class Sample:
    """One method on one pair under one mask; units in UNITS. None = not measured in this protocol."""

    id: str
    category: str
    protocol: str
    method: str
    mae: float
    changed_outside: float
    histogram: float | None = None
    patches: float | None = None
    completeness: float | None = None
    coherence: float | None = None
    seam: float | None = None


@dataclass(frozen=True)
class EditedPair:
    """What the methods made of one pair under one mask, `truth` among `results`; all (H, W, 3) uint8."""

    pair: Pair
    protocol: str
    mask: np.ndarray
    source: np.ndarray
    results: Mapping[str, np.ndarray]


def get_item_seed(seed: int, item_id: str) -> int:
    """A seed in [0, 2^63) that depends on the run's seed and the item's id alone."""
    digest = hashlib.sha256(f"{seed}:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def build_mask(pair: Pair, protocol: str, config: HeldoutConfig) -> np.ndarray:
    """The mask of a pair under a protocol, bool (H, W): by its fine mask, its id and the config alone."""
    rng = np.random.default_rng(get_item_seed(config.seed, pair.id))
    return apply_stage(pair.tar_mask, protocol, rng, config.rough)


def edit_pair(pair: Pair, protocol: str, editors: Mapping[str, Editor], config: HeldoutConfig) -> EditedPair:
    """Run the baselines and every editor on one pair. Raises DataError on an edit that is no such picture."""
    mask = build_mask(pair, protocol, config)
    source = pair.tar_rgb.copy()
    source[mask] = HOLE
    results = {
        "mean": fill_mean(source, mask, pair.ref_rgb, pair.ref_mask),
        "telea": fill_telea(source, mask),
        "paste": paste_reference(source, mask, pair.ref_rgb, pair.ref_mask),
        "registered": register_and_paste(source, mask, pair.ref_rgb, pair.ref_mask),
    }
    seed = get_item_seed(config.seed, pair.id)
    for name, editor in editors.items():
        # Copies: an editor that writes into what it was given must not reach the pair or the next method.
        edited = editor(
            source.copy(), mask.copy(), pair.ref_rgb.copy(), pair.ref_mask.copy(), pair.category, seed
        )
        if edited.shape != source.shape or edited.dtype != np.uint8:
            raise DataError(
                f"{name} returned {edited.dtype} {edited.shape} for {pair.id}, not uint8 {source.shape}"
            )
        results[name] = edited
    return EditedPair(pair, protocol, mask, source, results | {TRUTH: pair.tar_rgb})


def measure_pair(edited: EditedPair, *, pose_free: bool) -> list[Sample]:
    """Measure every result of a pair inside the given mask, ground included where the mask holds some."""
    pair, mask = edited.pair, edited.mask
    samples = []
    for method, image in edited.results.items():
        values: dict[str, float] = {}
        if pose_free:
            distance = bidirectional_similarity(image, mask, pair.ref_rgb, pair.ref_mask)
            values = {
                "histogram": histogram_intersection(image, mask, pair.ref_rgb, pair.ref_mask),
                "patches": distance.total,
                "completeness": distance.completeness,
                "coherence": distance.coherence,
                "seam": gradient_jump(image, mask),
            }
        outside = compare_outside(edited.source, image, mask).share
        error = masked_mae(image, pair.tar_rgb, mask)
        samples.append(Sample(pair.id, pair.category, edited.protocol, method, error, outside, **values))
    return samples


def evaluate_pairs(
    pairs: Iterable[Pair],
    editors: Mapping[str, Editor],
    config: HeldoutConfig | None = None,
    *,
    on_edit: Callable[[EditedPair], None] | None = None,
) -> dict[str, Any]:
    """Edit and measure all pairs under all protocols; see `summarise` for what is returned.

    `on_edit` is called after each pair and protocol, for progress and for pictures. Raises ConfigError when
    an editor takes a baseline's name.
    """
    config = config or HeldoutConfig()
    taken = sorted({*BASELINES, TRUTH} & set(editors))
    if taken:
        raise ConfigError(f"an editor cannot be called {taken[0]}", hint="that is a baseline's name")
    samples: list[Sample] = []
    masks: dict[str, list[tuple[float, float]]] = {protocol: [] for protocol in config.protocols}
    for pair in pairs:
        for protocol in config.protocols:
            edited = edit_pair(pair, protocol, editors, config)
            samples += measure_pair(edited, pose_free=protocol in config.pose_free)
            masks[protocol].append((get_iou(edited.mask, pair.tar_mask), float(edited.mask.mean())))
            if on_edit:
                on_edit(edited)
    return summarise(samples, masks, config)


def summarise(
    samples: Sequence[Sample], masks: Mapping[str, Sequence[tuple[float, float]]], config: HeldoutConfig
) -> dict[str, Any]:
    """Tables out of samples, ready for JSON.

    masks: per protocol, (IoU with the fine mask, share of the picture) of each pair. Returns `config`,
    `units`, `protocols` (per protocol the masks' means and per method `mae`, `mae_se`, `ratio_to_paste` with
    `_se` from the pairs, ..., `per_category`) and `samples`.
    """
    protocols: dict[str, Any] = {}
    for protocol in config.protocols:
        if not masks[protocol]:
            raise DataError("no pairs to evaluate")
        rows = [sample for sample in samples if sample.protocol == protocol]
        methods = list(dict.fromkeys(sample.method for sample in rows))
        paste = {sample.id: sample for sample in rows if sample.method == "paste"}
        iou, share = np.mean(masks[protocol], axis=0)
        protocols[protocol] = {
            "n": len(masks[protocol]),
            "mask_iou_with_fine": float(iou),
            "mask_share": float(share),
            "methods": {m: _summarise_method([s for s in rows if s.method == m], paste) for m in methods},
        }
    return {
        "config": json.loads(json.dumps(asdict(config))),  # tuples to lists: equal to what is read back
        "units": UNITS,
        "protocols": protocols,
        "samples": [asdict(sample) for sample in samples],
    }


def _summarise_method(rows: Sequence[Sample], paste: Mapping[str, Sample]) -> dict[str, Any]:
    summary: dict[str, Any] = _summarise_rows(rows, paste)
    categories = sorted({sample.category for sample in rows})
    summary["per_category"] = {
        category: _summarise_rows([s for s in rows if s.category == category], paste)
        for category in categories
    }
    return summary


def _summarise_rows(rows: Sequence[Sample], paste: Mapping[str, Sample]) -> dict[str, Any]:
    summary: dict[str, Any] = {"n": len(rows)}
    for name in MEASURES:
        values = [getattr(sample, name) for sample in rows]
        if None in values:
            continue
        base = [getattr(paste[sample.id], name) for sample in rows]
        summary[name], summary[f"{name}_se"] = get_mean_and_error(values)
        ratio = "ratio_to_paste" if name == "mae" else f"{name}_ratio_to_paste"
        summary[ratio], summary[f"{ratio}_se"] = get_ratio_and_error(values, base)
    summary["changed_outside"] = get_mean_and_error([sample.changed_outside for sample in rows])[0]
    return summary
