"""Edits that a sentence asks for, made by hand: a photo with a thing, what takes its place, and a model that acts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from a2cli.data.records import Pair
from a2cli.evaluation.benchmarks.pairs import build_case
from a2cli.evaluation.records.cases import Case, CaseEntry, Task
from a2cli.evaluation.records.protocols import parse_protocol
from a2cli.evaluation.records.tasks import build_task

SIZE = (64, 64)


def make_edit_pair(number: int = 0, task: str = "replace") -> Pair:
    """A red disc on a slope of grey and noise; in the target a blue one, a little larger, or none."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    ground = (90 + rows + rng.integers(0, 8, SIZE)).astype(np.uint8)[..., None].repeat(3, axis=2)
    away = (rows - 30) ** 2 + (columns - 24 - number % 16) ** 2
    named = away < 8**2
    region = named if task == "remove" else away < 10**2
    target = ground if task == "remove" else np.where(region[..., None], np.uint8([30, 40, 210]), ground)
    reference = np.full((48, 48, 3), 255, np.uint8)
    reference[10:38, 8:40] = (30, 40, 210)
    ref_mask = np.zeros((48, 48), bool)
    ref_mask[10:38, 8:40] = True
    return Pair(
        id=f"edit-{number}",
        category=("animals", "plants")[number % 2],
        subcategory="",
        prompt=f"{task} the red disc",
        ref_rgb=reference,
        ref_mask=ref_mask,
        tar_rgb=target,
        tar_mask=region,
        src_rgb=np.where(named[..., None], np.uint8([200, 30, 30]), ground),
        src_mask=named,
        task=task,
        keyword="red disc",
    )


def make_edit(number: int = 0, task: str = "replace") -> Case:
    return build_case(make_edit_pair(number, task))


def make_entry(number: int = 0, task: str = "replace") -> CaseEntry:
    case = make_edit(number, task)
    return CaseEntry(case.id, case.id, case.category, "", case.prompt, lambda: case, task=task)


def make_task(protocol: str = "box", number: int = 0) -> Task:
    return build_task(make_edit(number), parse_protocol(protocol, "8%"), 0)


def save_region_adapter(folder: Path, model: Path, *, predictor: bool = True) -> Path:
    """A region adapter of random weights for the nano in `model`, its last layers not zero."""
    from a2cli.backbones.flux import NanoBackbone
    from a2cli.context.passes import TwoPass
    from a2cli.region import PredictorConfig, RegionConfig, inject_region, save_region

    backbone = NanoBackbone.load(str(model), device="cpu", dtype="float32")
    two_pass = TwoPass(backbone.transformer)
    small = PredictorConfig(width=16, query_grid=4, num_heads=2, text_queries=2)
    config = RegionConfig(
        num_heads=2,
        head_dim=8,
        num_instruction_tokens=4,
        fusion_layers=1,
        predictor=small if predictor else None,
    )
    torch.manual_seed(0)
    region = inject_region(
        backbone.transformer,
        backbone.get_blocks(),
        config,
        text_dim=32,
        latent_dim=16,
        state=two_pass.state,
        dtype=torch.float32,
    )
    with torch.no_grad():
        for parameter in region.named_parameters().values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save_region(
        region,
        folder,
        backbone="nano",
        base_id="tiny nano",
        base_hash=backbone.base_hash,
        recipe={},
        dtype=torch.float32,
    )
    return folder
