"""The processes of a run, through accelerate: one or many, replicated (DDP) or sharded (FSDP2).

`accelerate launch` starts them; nothing here launches anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from a2cli.errors import ConfigError


class Whole(nn.Module):
    """What is wrapped or sharded as one; every use of the modules runs inside its forward."""

    def __init__(self, modules: nn.ModuleDict, device: str, *, autocast: bool) -> None:
        super().__init__()
        self.parts, self.device, self.autocast = modules, device, autocast

    def forward(self, function: Callable[..., Any], *args: Any) -> Any:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            return function(*args)


class Processes:
    """This process among those of the run: its number, its device, and what all do together.

    autocast: bf16 inside the wrapped forward (our own, the same for every kind of run). gradient_accumulation:
    micro-batches an optimizer step.
    trackers: names accelerate knows; their files go to `folder`. idle: some trained parameters get no gradient.
    """

    def __init__(
        self,
        *,
        cpu: bool,
        autocast: bool,
        gradient_accumulation: int,
        idle: bool,
        trackers: Sequence[str] = (),
        folder: str | None = None,
    ) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
        from accelerate.utils import DistributedType, ProjectConfiguration

        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        self.autocast = autocast
        self.accelerator = Accelerator(
            cpu=cpu or not torch.cuda.is_available(),
            mixed_precision="no",
            gradient_accumulation_steps=gradient_accumulation,
            log_with=list(trackers) or None,
            project_config=ProjectConfiguration(
                project_dir=folder, logging_dir=None if folder is None else f"{folder}/tensorboard"
            ),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=idle)],
        )
        kind = self.accelerator.distributed_type
        asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        # accelerate shards on GPUs alone; on CPUs torch's own function does, so that the path can be tested.
        self._sharded_here = asked and kind == DistributedType.MULTI_CPU
        self.sharded = self._sharded_here or kind == DistributedType.FSDP
        self.accumulation = gradient_accumulation
        if kind == DistributedType.FSDP and not self.accelerator.is_fsdp2:
            raise ConfigError(
                "FSDP version 1 is not supported", hint="fsdp_version: 2 in accelerate's config"
            )

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def count(self) -> int:
        return self.accelerator.num_processes

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.accelerator.is_main_process

    def wrap(
        self, modules: nn.ModuleDict, optimizers: Sequence[torch.optim.Optimizer], blocks: Sequence[nn.Module]
    ) -> tuple[nn.Module, list[Any]]:
        """Prepare modules and optimizers for the kind of run; `blocks` are the units of sharding on CPUs."""
        whole = Whole(modules, self.device.type, autocast=self.autocast)
        if not self._sharded_here:
            wrapped, *prepared = self.accelerator.prepare(whole, *optimizers)
            return wrapped, prepared
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (self.count,))
        before = {id(p): name for name, p in whole.named_parameters()}
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(whole, mesh=mesh)
        after = dict(whole.named_parameters())
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["params"] = [after[before[id(p)]] for p in group["params"]]
        return whole, [self.accelerator.prepare(optimizer) for optimizer in optimizers]

    @contextmanager
    def accumulate(self, wrapped: nn.Module, micro: int) -> Iterator[None]:
        """Backward of micro-batch `micro`; gradients travel between processes with the last one only."""
        if not self._sharded_here:
            with self.accelerator.accumulate(wrapped):
                yield
            return
        last = micro == self.accumulation - 1
        wrapped.set_requires_gradient_sync(last)  # type: ignore[operator]
        self.accelerator.gradient_state._set_sync_gradients(last)
        yield

    def sum(self, value: float) -> float:
        """Sum a number over the processes, in double precision."""
        return self._reduce([value])[0]

    def mean(self, values: Sequence[float]) -> list[float]:
        """Average numbers over the processes, in double precision; NaN anywhere is NaN everywhere."""
        return [value / self.count for value in self._reduce(values)]

    def _reduce(self, values: Sequence[float]) -> list[float]:
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        return self.accelerator.reduce(tensor, "sum").tolist()

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes; returned on the CPU."""
        if self.count == 1:
            return tensor.cpu()
        return self.accelerator.reduce(tensor.to(self.device), "sum").cpu()

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()


def get_whole(tensor: Tensor) -> Tensor:
    """A tensor as it would be in one process: shards are gathered, which every process must take part in."""
    gather = getattr(tensor, "full_tensor", None)
    return gather() if gather else tensor


@torch.no_grad()
def put_whole(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    target.copy_(shard_like(value, target))


def shard_like(value: Tensor, target: Tensor) -> Tensor:
    """Lay a whole tensor out as `target` is; unchanged where that is no shard."""
    if not hasattr(target, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    placed: Any = target
    return distribute_tensor(value.to(placed.device), placed.device_mesh, placed.placements)
