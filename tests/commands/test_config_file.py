"""--config and the environment: who wins, what is refused, and the files that are shipped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from a2cli.provenance.recipe import read_recipe

if TYPE_CHECKING:
    from edits import Done, Studio

CONFIGS = Path(__file__).parents[2] / "configs" / "edit"


def edit(studio: Studio, text: str, *arguments: object) -> Done:
    (studio.folder / "edit.yaml").write_text(text)
    return studio.run("--config", "edit.yaml", *arguments)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_environment(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SEED": "1", "STEPS": "3", "GUIDANCE": "2.5", "FEATHER": "9"}.items():
        monkeypatch.setenv(f"A2_{name}", value)
    monkeypatch.setenv("A2_MODEL", "nowhere")
    monkeypatch.setenv("A2_ADAPTER", "none")
    text = f"source: [photo.png]\nref: cat.png\nmask: mask.png\nmodel: {studio.model}\nsteps: 2\nno_metadata: false\n"
    done = edit(studio, text + "seed: 5\nout: file.png\nfeather: 4", "--seed", "7", "-o", "line.png")
    assert (done.code, done.lines, done.stderr) == (0, ["line.png"], "")
    recipe = read_recipe("line.png")
    assert (recipe.steps, recipe.guidance, recipe.feather) == (2, 2.5, 4)  # A2_FEATHER is none of ours
    again = edit(studio, text + "seed: 7", "-o", "same.png", "--feather", "4")
    assert again.code == 0 and read_recipe("same.png").seed == recipe.seed
    assert recipe.adapter == ("none",) and recipe.model == studio.model.name


def test_lists_are_replaced_not_lengthened(studio: Studio) -> None:
    text = "source: [nowhere.png, photo.png]\nref: [cat.png, dog.png]\nmask: mask.png\n"
    done = edit(studio, text, "photo.png", "--ref", "cat.png", "--dry-run")
    assert (done.code, done.lines) == (0, [str(Path("photo.a2.png"))])


def test_the_option_null_needs_no_quotes(studio: Studio) -> None:
    (studio.folder / "list").write_bytes(b"photo.png\0")
    done = edit(studio, "null: true\nmanifest: list\nref: cat.png\nmask: mask.png\nout: made/", "--dry-run")
    assert (done.code, done.lines) == (0, ["made/photo.a2.png"]), done.stderr


def test_a_variable_holds_adapters_as_a_path_does(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A2_ADAPTER", "first one:second")
    done = studio.run("photo.png", "--ref", "cat.png", "--mask", "mask.png", "--model", studio.model)
    assert done.code == 2 and "first one" in done.stderr and "first one:second" not in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stesp: 1", "edit.yaml: unknown key 'stesp' (did you mean 'steps'?)"),
        ("skip_exsting: true", "did you mean 'skip-existing'?"),
        ("config: other.yaml", "unknown key 'config'"),
        ("help: true", "unknown key 'help'"),
        ("fit-mask: true\nfit_mask: true", "fit-mask stands twice"),
        ("steps: 1.5", "edit.yaml: steps: "),
        ("steps: true", "steps: true is neither text nor a number"),
        ("steps: 0", "steps: Input should be greater than or equal to 1"),
        ("json: 1", "json: 1 is not true or false"),
        ("json: 'true'", "json: 'true' is not true or false"),
        ("mask: [a.png, b.png]", "mask: a list is not one value"),
        ("ref: {a: b}", "ref: a mapping is not a value or a list of them"),
        ("ref: []", "ref: nothing is given"),
        ("mask:", "mask: nothing is given, leave the key out"),
        ("localize: atention", "edit.yaml: localize: 'atention' is not one of"),
        ("quantize: nf3", "did you mean 'nf4'?"),
        ("threshold: high", "--threshold"),
        ("- steps", "expected `key: value` lines"),
        ("mask: !!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_what_no_option_says_is_refused(studio: Studio, text: str, message: str) -> None:
    done = edit(studio, text, "photo.png", "--ref", "cat.png")
    assert (done.code, done.lines) == (2, [])
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_a_bad_variable_is_named(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A2_STEPS", "many")
    done = studio.run("photo.png", "--ref", "cat.png", "--mask", "mask.png")
    assert done.code == 2 and "A2_STEPS" in done.stderr


def test_the_environment_does_not_change_what_is_repeated(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studio.edit("photo.png", "--mask", "mask.png", "--steps", "1", "-o", "out.png").code == 0
    shutil.copytree(studio.model, studio.folder / studio.model.name)
    monkeypatch.setenv("A2_SEED", "99")
    monkeypatch.setenv("A2_BACKBONE", "flux-fill")
    monkeypatch.setenv("A2_STEPS", "2")
    done = studio.run("--from", "out.png")
    assert (done.code, done.lines) == (0, ["out.again.png"]), done.stderr
    assert Path("out.again.png").read_bytes() == Path("out.png").read_bytes()
    changed = edit(studio, "feather: 2\nout: other.png", "--from", "out.png")
    assert changed.code == 0 and read_recipe("other.png").feather == 2
    assert read_recipe("other.png").seed == read_recipe("out.png").seed
    refused = studio.run("--from", "out.png", "--pick")
    assert refused.code == 2 and "leave one of them out" in refused.stderr


def test_every_shipped_file_runs(studio: Studio) -> None:
    names = {path.name for path in CONFIGS.glob("*.yaml")}
    assert names == {"catalogue.yaml", "nano-quick.yaml", "flux-nf4.yaml"}
    for folder, name in (("photos", "photo.png"), ("masks", "mask.png")):
        Path(folder).mkdir()
        shutil.copy(name, f"{folder}/shoe.png")
    catalogue = ("--config", CONFIGS / "catalogue.yaml", "--steps", "1", "--json")
    done, again = studio.edit(*catalogue), studio.edit(*catalogue)
    assert [(record["path"], record["skipped"]) for record in done.records + again.records] == [
        ("out/shoe.a2.png", False),
        ("out/shoe.a2.png", True),
    ]
    single = ("photo.png", "--mask", "mask.png", "-o")
    quick = studio.edit("--config", CONFIGS / "nano-quick.yaml", *single, "quick.png")
    assert quick.code == 0 and read_recipe("quick.png").steps == 2
    small = ("--config", CONFIGS / "flux-nf4.yaml", "--ref", "cat.png", "--dry-run", *single, "small.png")
    assert studio.run(*small).lines == ["small.png"]
