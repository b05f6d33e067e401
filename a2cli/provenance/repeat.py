"""From a recipe back to an edit: its files found and compared, its settings resolved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from a2cli import __version__
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import ADDRESS, EditConfig
from a2cli.config.expect import Expected, Weights
from a2cli.config.memory import MemoryConfig
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.provenance.recipe import HUB_ID, NOTHING, SHIPPED, InputFile, Recipe, load_digest

Note = Callable[[str], None]
MOST = {"steps": 1000, "num_images": 64}  # taken from a recipe; more has to be asked for
FINDS = ("attention", "predictor", "auto")
log = logging.getLogger(__name__)


def build_config(
    recipe: Recipe, given: Mapping[str, Any], *, picture: str | Path, note: Note = log.warning
) -> EditConfig:
    """The edit a recipe tells of, changed by what is `given`: fields of `EditConfig` that the user set.

    Files that are not given are looked for by name beside `picture`, then in the current folder, and must be those the
    recipe was written for. Without `out` the result lies beside the picture as NAME.again.EXT. `note` gets a line where
    a given file, the version of a2 or the device differs. Raises ConfigError for settings that contradict, DataError
    for files that are missing or differ.
    """
    picture = Path(picture)
    if given.get("batch", BatchConfig()) != BatchConfig() or len(given.get("sources", ())) > 1:
        raise ConfigError("--from repeats one edit", hint="give one SOURCE, and no manifest")
    if len(given.get("refs", ())) > 1:
        raise ConfigError("--from repeats one edit", hint="give one --ref")
    _check_counts(recipe, given)
    if recipe.a2 != __version__:
        note(f"{show_name(str(picture))}: made with a2 {show_name(recipe.a2)}, this is {__version__}")
    fields = {
        "out": _get_out(picture),
        **{name: getattr(recipe, name) for name in ("prompt", "seed", "steps", "guidance", "feather")},
        **{name: getattr(recipe, name) for name in ("backbone", "dtype", "num_images", "fit_mask")},
        **_choose_asked(recipe, given),
        **_choose_weights(recipe, given, picture),
        **_find_inputs(recipe, given, picture, note),
    }
    if "memory" not in given:
        fields["memory"] = MemoryConfig(quantize=recipe.quantize)
    if "device" not in given:
        fields["device"] = _choose_device(recipe.device, note)
    out = given.get("out")
    if out is not None and Path(out).exists() and picture.exists() and Path(out).samefile(picture):
        raise ConfigError(f"{show_name(out)}: the output would replace the picture", hint="choose another -o")
    return EditConfig(**{**fields, **given, "expects": _get_expected(recipe, given, picture)})


def _check_counts(recipe: Recipe, given: Mapping[str, Any]) -> None:
    for name, most in MOST.items():
        if name not in given and getattr(recipe, name) > most:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"the recipe says {option} {getattr(recipe, name)}", hint=f"give {option} if that is meant"
            )


def _get_out(picture: Path) -> str:
    return str(picture.with_name(f"{picture.stem}.again{picture.suffix}"))


def _choose_asked(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """How the region is found; a mask or a way the user gave puts the recipe's own aside."""
    asked = recipe.asked
    finds = recipe.inputs.mask is None
    if ("mask" in given and finds) or "localize" in given:
        return {}
    return {"localize": asked.localize, "keyword": asked.keyword, "threshold": asked.threshold}


def _choose_weights(recipe: Recipe, given: Mapping[str, Any], picture: Path) -> dict[str, Any]:
    """Model and adapters: the backbone's own, folders found by name, or a model that is on this machine already."""
    if "backbone" in given and given["backbone"] != recipe.backbone:
        return {}
    chosen: dict[str, Any] = {}
    if "model" not in given and recipe.model != SHIPPED:
        chosen["model"] = _find_model(recipe.model, picture)
    if "adapter" not in given and recipe.adapter is not None:
        chosen["adapter"] = tuple(
            NOTHING if name == NOTHING else _find_folder(name, picture, "--adapter")
            for name in recipe.adapter
        )
    return chosen


def _find_model(name: str, picture: Path) -> str:
    if not HUB_ID.fullmatch(name):
        return _find_folder(name, picture, "--model")
    from huggingface_hub.constants import HF_HUB_CACHE

    if not (Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}").is_dir():
        raise ConfigError(
            f"the recipe names the model {name}, which is not on this machine",
            hint=f"--model {name} downloads it",  # a picture alone downloads nothing
        )
    return name


def _find_folder(name: str, picture: Path, option: str) -> str:
    for folder in _get_places(picture):
        if (folder / name).is_dir():
            return str(folder / name)
    raise ConfigError(
        f"the recipe names the folder {show_name(name)}, which is neither beside the picture nor here",
        hint=f"give {option}",
    )


def _get_places(picture: Path) -> Sequence[Path]:
    """Where files of a recipe are looked for: beside its picture, then in the current folder."""
    return [picture.parent, Path()]


def _find_inputs(recipe: Recipe, given: Mapping[str, Any], picture: Path, note: Note) -> dict[str, Any]:
    """Source, reference and masks; a mask of a reference that was changed for another is left out."""
    inputs = recipe.inputs
    chosen: dict[str, Any] = {"sources": ()}
    same_ref = _is_same("--ref", inputs.ref, given["refs"][0], note) if given.get("refs") else True
    if not given.get("refs"):
        chosen["refs"] = (_find("--ref", inputs.ref, picture),)
    if given.get("sources"):
        if inputs.source is not None:
            _is_same("the photo", inputs.source, given["sources"][0], note)
    elif inputs.source is not None:
        chosen["sources"] = (_find("the photo", inputs.source, picture),)
    finds = given.get("localize") in FINDS
    for field, stored, wanted in (("mask", inputs.mask, not finds), ("ref_mask", inputs.ref_mask, same_ref)):
        option = f"--{field.replace('_', '-')}"
        if given.get(field) is not None:
            if isinstance(stored, InputFile):
                _is_same(option, stored, given[field], note)
        elif stored is not None and wanted:
            chosen[field] = stored if isinstance(stored, str) else _find(option, stored, picture)
    return chosen


def _find(what: str, wanted: InputFile, picture: Path) -> str:
    """A file of the recipe by its name and digest; DataError that says what to give."""
    remedy = "name the photo: a2 edit --from PICTURE SOURCE" if what == "the photo" else f"give {what} FILE"
    if not wanted.name:
        raise DataError(f"{show_name(str(picture))}: {what} came through a pipe", hint=remedy)
    found = [path for folder in _get_places(picture) if (path := folder / wanted.name).is_file()]
    for path in found:
        if load_digest(path) == wanted.sha256:
            return str(path)
    if found:
        raise DataError(
            f"{show_name(str(found[0]))}: not the file the picture was made from, it has changed since",
            hint=f"{remedy}, to edit with it all the same",
        )
    raise DataError(
        f"{show_name(wanted.name)}: neither beside the picture nor here ({what} of the recipe)", hint=remedy
    )


def _is_same(what: str, wanted: InputFile, name: str, note: Note) -> bool:
    """Whether a given input is the recipe's; a line where it is another. What is read later counts as the same."""
    if name == "-" or ADDRESS.match(name):
        return True
    is_box = name.lower().startswith("box:")
    if not is_box and load_digest(name) == wanted.sha256:
        return True
    shown = show_name(wanted.name) or "bytes from a pipe"
    note(f"{show_name(name)}: not the {shown} that the picture was made from ({what}): another edit")
    return False


def _choose_device(recorded: str, note: Note) -> str:
    """The kind of device a recipe was made on, where this machine has it."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there[recorded]:
        return recorded
    note(f"made on {recorded}, which this machine has not: pixels may differ a little")
    return "auto"


def _get_expected(recipe: Recipe, given: Mapping[str, Any], picture: Path) -> Expected:
    chosen: set[Weights] = set()
    if "backbone" in given or "model" in given:
        chosen |= {"model", "adapter", "region adapter"}
    if "adapter" in given:
        chosen |= {"adapter", "region adapter"}
    return Expected(
        picture=str(picture),
        model=recipe.model,
        adapter=SHIPPED if recipe.adapter is None else ", ".join(recipe.adapter),
        base_hash=recipe.base_hash,
        adapter_hash=recipe.adapter_hash,
        region_hash=recipe.region_hash,
        chosen=frozenset(chosen),
        working=recipe.working,
    )
