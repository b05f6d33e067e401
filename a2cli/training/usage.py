"""Which experts serve which category, counted while a run goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from a2cli.data.taxonomy import CATEGORIES
from a2cli.files import write_bytes
from a2cli.mot import MotModel

USAGE = "usage.json"
OTHER = "other"


class UsageCount:
    """Samples seen and experts used, per category, block and expert, since `reset`."""

    def __init__(self, experts: MotModel) -> None:
        self.experts = experts
        self.names = (*CATEGORIES, OTHER)
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        config = self.experts.config
        self.used = torch.zeros(len(self.names), len(self.experts.blocks), config.num_routed)
        self.samples = torch.zeros(len(self.names))

    def add(self, categories: Sequence[str]) -> None:
        """Count the last routing, of samples of these categories."""
        selected = self.experts.get_selected().float().cpu()  # (blocks, B, experts)
        for i, category in enumerate(categories):
            row = self.names.index(category) if category in self.names else len(CATEGORIES)
            self.used[row] += selected[:, i]
            self.samples[row] += 1

    def get_table(self, used: torch.Tensor, samples: torch.Tensor, step: int) -> dict[str, Any]:
        """Lay counts out for `usage.json`: the share of a category's samples that used each expert, a block."""
        return {
            "step": step,
            "experts": used.shape[-1],
            "blocks": [block.name for block in self.experts.blocks],
            "categories": {
                name: {"samples": int(samples[i]), "share": (used[i] / samples[i]).tolist()}
                for i, name in enumerate(self.names)
                if samples[i] > 0
            },
        }


def save_usage(table: dict[str, Any], run: Path) -> None:
    """Write `usage.json` into a run folder."""
    write_bytes((json.dumps(table) + "\n").encode(), run / USAGE)
