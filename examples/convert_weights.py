"""Turn the published weights of LPIPS and FID into the safetensors files that `a2 eval --weights DIR` reads.

    python examples/convert_weights.py                          # where each file is published
    python examples/convert_weights.py FILE.pth ... -o weights  # any of them, in any order

Published files are pickles, which a2 itself never opens. Here PyTorch's restricted loader reads them, which makes
tensors and nothing else; the file is known by its tensors, checked against the network, and the tensors the network
needs are kept, bit for bit. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from a2cli.errors import A2Error, DataError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.metrics import inception
from a2cli.metrics.lpips import get_linear_shapes
from a2cli.metrics.lpips_backbones import BACKBONES, SPARE, build_backbone
from a2cli.metrics.weights import check_shapes, get_shapes, hash_tensors, load_tensors

Shapes = dict[str, tuple[int, ...]]
TORCHVISION = "https://download.pytorch.org/models"
LPIPS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1"
PYTORCH_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"


@dataclass(frozen=True)
class Published:
    """A file of weights: where it goes, where it comes from, how its SHA-256 begins, and what it must hold."""

    place: str
    address: str
    sha256: str
    get_shapes: Callable[[], Shapes]
    spare: tuple[str, ...] = ()


def get_backbone_shapes(name: str) -> Callable[[], Shapes]:
    return lambda: get_shapes(build_backbone(name))


def get_layer_shapes(name: str) -> Callable[[], Shapes]:
    return lambda: get_linear_shapes(BACKBONES[name].channels)


def get_inception_shapes() -> Shapes:
    return get_shapes(inception.build_inception())


FILES = (
    Published(
        "lpips/alexnet.safetensors",
        f"{TORCHVISION}/alexnet-owt-7be5be79.pth",
        "7be5be79",
        get_backbone_shapes("lpips_alex"),
        SPARE,
    ),
    Published(
        "lpips/vgg16.safetensors",
        f"{TORCHVISION}/vgg16-397923af.pth",
        "397923af",
        get_backbone_shapes("lpips_vgg"),
        SPARE,
    ),
    Published(
        "lpips/squeezenet1_1.safetensors",
        f"{TORCHVISION}/squeezenet1_1-b8a52dc0.pth",
        "b8a52dc0",
        get_backbone_shapes("lpips_squeeze"),
        SPARE,
    ),
    Published(
        "lpips/lpips_alex.safetensors",
        f"{LPIPS}/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        get_layer_shapes("lpips_alex"),
    ),
    Published(
        "lpips/lpips_vgg.safetensors",
        f"{LPIPS}/vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        get_layer_shapes("lpips_vgg"),
    ),
    Published(
        "lpips/lpips_squeeze.safetensors",
        f"{LPIPS}/squeeze.pth",
        "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
        get_layer_shapes("lpips_squeeze"),
    ),
    Published(
        "inception.safetensors",
        f"{PYTORCH_FID}/pt_inception-2015-12-05-6726825d.pth",
        "6726825d",
        get_inception_shapes,
        inception.SPARE,
    ),
)


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a state that PyTorch saved, without running anything the file asks for."""
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{show_name(str(path))}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a pickle fails in as many ways as it can be damaged
        raise DataError(
            f"{show_name(str(path))}: damaged, or holds more than tensors; it was not opened further",
            hint="without FILE the sources are listed",
        ) from error
    if not isinstance(state, Mapping):
        raise DataError(f"{show_name(str(path))}: not a state of named tensors")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def recognise(path: Path, found: Shapes) -> tuple[Published, Shapes]:
    """The file this is, by the share of its tensors that are there, and the shapes it must have."""
    best: tuple[float, Published, Shapes] | None = None
    with torch.device("meta"):
        for file in FILES:
            wanted = file.get_shapes()
            share = sum(found.get(name) == shape for name, shape in wanted.items()) / len(wanted)
            if share and (best is None or share > best[0]):
                best = (share, file, wanted)
    if best is None:
        raise DataError(
            f"{show_name(str(path))}: weights of no network a2 knows",
            hint="without FILE the sources are listed",
        )
    check_shapes(show_name(str(path)), found, best[2], spare=best[1].spare)
    return best[1], best[2]


def convert(path: Path, folder: Path) -> None:
    """Write what one published file holds, and say what was read and written."""
    tensors = read_pickle(path)
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    file, wanted = recognise(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    kept = {name: tensors[name].contiguous().clone() for name in wanted}
    for name, tensor in kept.items():
        if not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise DataError(f"{show_name(str(path))}: tensor {name} is not of finite floating numbers")
    target = folder / file.place
    make_folder(target.parent)
    write_bytes(save(kept, metadata={"source_sha256": digest}), target)
    loaded = load_tensors(target, wanted)  # as a2 eval will
    told = "as published" if digest.startswith(file.sha256) else f"NOT the published file, {file.sha256}..."
    print(f"read   {show_name(str(path))}\n       SHA-256 {digest}, {told}")
    print(
        f"wrote  {show_name(str(target))}\n       {len(kept)} tensors, weights sha256:{hash_tensors(loaded)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.pth")
    parser.add_argument("-o", "--out", type=Path, default=Path("weights"), metavar="DIR")
    arguments = parser.parse_args()
    if not arguments.files:
        for file in FILES:
            print(f"{file.place:32} is made of {file.address}")
    failed = 0
    for path in arguments.files:
        try:
            convert(path, arguments.out)
        except A2Error as error:
            failed += 1
            print(f"convert_weights: {error}", file=sys.stderr)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
