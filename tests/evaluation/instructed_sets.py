"""Small Emu Edit and GEdit-Bench data sets, with the columns that their publishers give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from published import encode, make_rgb, write_shard

EMU = {"test": ("add", "remove"), "validation": ("style",)}
GEDIT = (("color_alter", "a1"), ("subject-add", "b2"))


def write_emu_edit(folder: Path) -> Path:
    """The hub's shards: a task for each record of each split."""
    for split, tasks in EMU.items():
        rows = [
            {
                "instruction": f"please {task}",
                "image": encode(make_rgb(number)),
                "task": task,
                "split": split,
                "idx": 10 + number,
                "hash": "0",
                "input_caption": "a thing",
                "output_caption": f"a thing after {task}",
            }
            for number, task in enumerate(tasks)
        ]
        write_shard(folder / "data" / f"{split}-00000-of-00001-0a14114eb2f63780.parquet", rows)
    return folder


def get_gedit_rows() -> list[dict[str, Any]]:
    """English and Chinese rows of each task; the picture to edit and a smaller copy of it."""
    return [
        {
            "task_type": task,
            "key": f"{key}{language}",
            "instruction": f"{task} in {language}",
            "instruction_language": language,
            "input_image": encode(make_rgb(number, (24, 18))),
            "input_image_raw": encode(make_rgb(number)),
            "Intersection_exist": key == "a1",
        }
        for number, (task, key) in enumerate(GEDIT)
        for language in ("en", "cn")
    ]


def build_gedit() -> Any:
    """The rows as `datasets` holds them."""
    from datasets import Dataset, Features, Image, Value

    rows = get_gedit_rows()
    kinds = {bytes: Image(), str: Value("string"), bool: Value("bool")}
    features = Features({name: kinds[type(value)] for name, value in rows[0].items()})
    packed = [
        {n: {"bytes": v, "path": None} if isinstance(v, bytes) else v for n, v in row.items()} for row in rows
    ]
    return Dataset.from_list(packed, features=features)


def write_gedit(folder: Path, kind: str = "saved") -> Path:
    """As the hub has it (`Dataset.save_to_disk` in splits), as one bare Arrow file, or as parquet."""
    from datasets import DatasetDict

    rows = build_gedit()
    if kind == "saved":
        DatasetDict({"train": rows}).save_to_disk(str(folder))
    elif kind == "parquet":
        rows.to_parquet(str(folder / "data" / "train-00000-of-00001.parquet"))
    else:
        import pyarrow

        folder.mkdir(parents=True)
        table = rows.data.table
        with pyarrow.ipc.new_file(str(folder / "gedit.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    return folder
