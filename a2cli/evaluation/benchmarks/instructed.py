"""Emu Edit and GEdit-Bench: a photo and an instruction, neither mask, reference nor true edit.

Emu Edit (Sheynin et al. 2023, `facebook/emu_edit_test_set`) has columns idx, image, instruction, input_caption,
output_caption and task. Its own measures are similarities of the edit to the source and to the output caption, and of
the change to that of the captions: so the target is the source, the prompt the output caption, and the source's prompt
the input caption, where there is one. Emu's own edits, which `..._generations` holds, are not read.

GEdit-Bench (Liu et al. 2025, `stepfun-ai/GEdit-Bench`) has columns key, instruction, instruction_language, task_type,
input_image and input_image_raw, and is judged by VIEScore alone: no target, and the prompt is the instruction. Its
split is the language, en or cn. Edits are named as its script writes them: TASK/LANGUAGE/KEY, or KEY.

Methods see the whole source, the mask is the whole picture, and edits of another size are brought to the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from a2cli.curation.layouts.records import get_stem
from a2cli.data.layouts import get_named_split
from a2cli.data.rows import MEND, PROBLEM
from a2cli.evaluation.benchmarks.reading import reading
from a2cli.evaluation.benchmarks.tables import get_table_split, read_tables
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.files import show_name
from a2cli.images.read import open_photo

EMU_COLUMNS = ("idx", "instruction", "output_caption", "task")
EMU_PICTURES = ("image",)
EMU_MORE = ("split", "input_caption")  # what a table may lack
GEDIT_COLUMNS = ("key", "instruction", "instruction_language", "task_type")
GEDIT_PICTURES = ("input_image_raw", "input_image", "source_image")  # the first that is there counts
LANGUAGES = ("en", "cn")


def list_emu_edit(
    config: DataConfig, split: str | None, *, pictures: bool
) -> Iterator[CaseEntry | CaseFailure]:
    """The records of Emu Edit; without `pictures` only texts are read, and no entry can be loaded."""
    wanted = split and get_split_word(split)
    for item in read_tables(config.path, EMU_COLUMNS, (*EMU_MORE, *(EMU_PICTURES if pictures else ()))):
        if isinstance(item, CaseFailure):
            yield item
            continue
        file, row, reader = item
        number, instruction, caption, task = (reader.get_text(row, name) for name in EMU_COLUMNS)
        said = get_table_split(config.path, file) or get_split_word(reader.get_text(row, "split"))
        id = f"{said}-{number}" if said else number
        if row.get(PROBLEM) or not number or not instruction:
            yield _build_failure(reader.where, id, str(row.get(PROBLEM) or "no idx or no instruction"))
        elif wanted is None or said in (wanted, ""):
            load = partial(reader.load_bytes, {**row, "id": id})
            case = partial(
                _load_case,
                reader.where,
                id,
                task,
                caption,
                instruction,
                load,
                EMU_PICTURES,
                against_source=True,
                source_prompt=reader.get_text(row, "input_caption"),
            )
            yield CaseEntry(id, get_stem(id), task, "", caption, case, aliases=(number,))


def list_gedit(
    config: DataConfig, language: str | None, *, pictures: bool
) -> Iterator[CaseEntry | CaseFailure]:
    """The records of GEdit-Bench in one language, or in all; `pictures` as for `list_emu_edit`.

    The subcategory is "intersection" for what GEdit's smaller set holds as well.
    """
    more = ("Intersection_exist", *(GEDIT_PICTURES if pictures else ()))
    for item in read_tables(config.path, GEDIT_COLUMNS, more):
        if isinstance(item, CaseFailure):
            yield item
            continue
        _, row, reader = item
        key, instruction, spoken, task = (reader.get_text(row, name) for name in GEDIT_COLUMNS)
        id = "/".join((task, spoken, key))
        if row.get(PROBLEM) or not key or not instruction:
            yield _build_failure(reader.where, id, str(row.get(PROBLEM) or "no key or no instruction"))
        elif language in (None, spoken):
            load = partial(reader.load_bytes, {**row, "id": id})
            there = (
                tuple(name for name in GEDIT_PICTURES if row.get(name) is not None)[:1] or GEDIT_PICTURES[:1]
            )
            case = partial(_load_case, reader.where, id, task, instruction, instruction, load, there)
            part = "intersection" if row.get("Intersection_exist") else ""
            yield CaseEntry(id, get_stem(id), task, part, instruction, case, aliases=(f"fullset/{id}",))


def get_split_word(word: str) -> str:
    """A split as `datasets` calls it: "dev" is "validation"; another word stays as it is."""
    return get_named_split(Path(word)) or word


def _load_case(
    where: str,
    id: str,
    category: str,
    prompt: str,
    instruction: str,
    load: Callable[[str], bytes],
    columns: tuple[str, ...],
    *,
    against_source: bool = False,
    source_prompt: str = "",
) -> Case:
    with reading(where, id):
        source = open_photo(load(columns[0]), name="picture").rgb
    return Case(
        id=id,
        category=category,
        source=source,
        mask=np.ones(source.shape[:2], bool),
        hole=False,
        target=source if against_source else None,
        prompt=prompt,
        instruction=instruction,
        resize_edits=True,
        source_prompt=source_prompt,
    )


def _build_failure(where: str, id: str, cause: str) -> CaseFailure:
    detail = f"{show_name(where)}: record {show_name(id)}: {cause} ({MEND})"
    return CaseFailure(id, "read", "no record", detail)
