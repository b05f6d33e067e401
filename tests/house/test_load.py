"""YAML in, frozen dataclasses out: types, overrides, and everything that must be refused."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2cli.config.load import (
    MAX_BYTES,
    apply_overrides,
    build,
    dump_yaml,
    load_config,
    load_yaml,
    parse_yaml,
    to_dict,
)
from a2cli.errors import ConfigError


class Shade(Enum):
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Model:
    width: int = 64
    span: tuple[float, float] = (0.0, 1.0)
    kind: Literal["single", "double"] = "single"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError("width must be at least 1", hint="try 64")


@dataclass(frozen=True)
class Run:
    rate: float
    model: Model = field(default_factory=Model)
    more: tuple[Model, ...] = ()
    out: Path | None = None
    steps: int | None = None
    size: int | str = 1
    shade: Shade = Shade.LIGHT
    tags: dict[str, float] = field(default_factory=dict)


def test_build_makes_nested_dataclasses() -> None:
    run = build(
        Run,
        {
            "rate": 1,
            "model": {"width": 8, "span": [1, 2]},
            "more": [{"kind": "double"}],
            "out": "a/b",
            "size": "large",
            "shade": "dark",
            "tags": {"x": 2},
        },
    )
    assert run == Run(
        1.0, Model(8, (1.0, 2.0)), (Model(kind="double"),), Path("a/b"), None, "large", Shade.DARK, {"x": 2.0}
    )
    assert isinstance(run.rate, float) and isinstance(run.model.span[0], float)


def test_to_dict_and_yaml_give_the_same_config_back() -> None:
    run = Run(
        1e-5, Model(3, (0.5, 1e-4)), (Model(), Model(2)), Path("x"), 7, "auto", Shade.DARK, {"off": 1.0}
    )
    assert build(Run, to_dict(run)) == run
    assert build(Run, parse_yaml(dump_yaml(run), where="dump")) == run


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "t.yaml: the key 'rate' is missing"),
        ({"rat": 1}, "t.yaml: unknown key 'rat' (did you mean 'rate'?)"),
        ({"rate": "fast"}, "t.yaml: rate: expected a number, got 'fast'"),
        ({"rate": True}, "t.yaml: rate: expected a number, got True"),
        ({"rate": float("nan")}, "t.yaml: rate: nan is not a finite number"),
        ({"rate": 1, "steps": 1.5}, "t.yaml: steps: expected a whole number, got 1.5"),
        ({"rate": 1, "steps": True}, "t.yaml: steps: expected a whole number, got True"),
        ({"rate": 1, "model": {"widht": 2}}, "t.yaml: model: unknown key 'widht' (did you mean 'width'?)"),
        ({"rate": 1, "model": {"width": 0}}, "t.yaml: model: width must be at least 1 (try 64)"),
        ({"rate": 1, "model": [1]}, "t.yaml: model: expected keys of Model, got a list"),
        ({"rate": 1, "model": {"span": [1]}}, "t.yaml: model.span: expected 2 values, got 1"),
        ({"rate": 1, "more": {}}, "t.yaml: more: expected a list, got a mapping"),
        ({"rate": 1, "more": [{}, {"kind": "doubel"}]}, "more[1].kind: 'doubel' is not a choice"),
        ({"rate": 1, "shade": "drak"}, "shade: 'drak' is not a choice (did you mean 'dark'?)"),
        ({"rate": 1, "tags": {"x": "y"}}, "tags.x: expected a number, got 'y'"),
    ],
)
def test_build_refuses(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(Run, mapping, where="t.yaml")
    assert message in str(error.value)


@dataclass(frozen=True)
class Preset:
    model: Literal["small", "large"] | Model | None = None


def test_a_word_or_keys_are_refused_for_what_they_are() -> None:
    """Of keys it is told what is wrong in them, not that they are none of the words."""
    for value, message in (
        ("smal", "model: 'smal' is not a choice (did you mean 'small'?)"),
        ({"width": 0}, "model: width must be at least 1 (try 64)"),
    ):
        with pytest.raises(ConfigError) as error:
            build(Preset, {"model": value}, where="t.yaml")
        assert str(error.value) == f"t.yaml: {message}"
    assert build(Preset, {"model": {"width": 3}}).model == Model(3)


def test_numbers_and_words_are_those_of_yaml_1_2() -> None:
    text = (
        "{a: 1e-4, b: off, c: 010, d: '1', e: 1_000, f: -.5, g: 12:30, h: 2026-01-01, i: ~, j: yes, k: TRUE}"
    )
    assert parse_yaml(text, where="x") == {
        "a": 1e-4, "b": "off", "c": "010", "d": "1", "e": 1000, "f": -0.5, "g": "12:30", "h": "2026-01-01",
        "i": None, "j": "yes", "k": True,
    }  # fmt: skip


def test_overrides_set_dotted_keys_in_a_copy() -> None:
    before = {"model": {"width": 1}, "rate": 2}
    after = apply_overrides(
        before, ["model.width=3", "model.span=[0, 1e-3]", "new.deep.key=box:1,2", "rate="]
    )
    assert after == {
        "model": {"width": 3, "span": [0, 1e-3]},
        "rate": None,
        "new": {"deep": {"key": "box:1,2"}},
    }
    assert before == {"model": {"width": 1}, "rate": 2}


@pytest.mark.parametrize("item", ["steps", "=1", "a..b=1", "rate.x=1", "a=[1", "a=!!python/none"])
def test_overrides_refuse(item: str) -> None:
    with pytest.raises(ConfigError, match=r"."):
        apply_overrides({"rate": 1}, [item])


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['true']", "constructor"),
        ("a: !!python/name:os.system", "constructor"),
        (BOMB, "more than"),
        ("&a [*a]", "contains itself"),
        ("&a {b: *a}", "contains itself"),
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ("[" * 50_000, "nested too deeply"),
        ("? [a]\n: b", "plain word"),
        ("a: [1", "line 1"),
        ("a: 1\n---\nb: 2", "document"),
        ("- 1", "key: value"),
        ("1: 2", "key: value"),
        ("a: \x00", "not allowed"),
        ("x" * (MAX_BYTES + 1), "larger than 1 MiB"),
    ],
)
def test_load_yaml_refuses(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_yaml(file)
    assert message in str(error.value) and "bad.yaml" in str(error.value)


def test_load_yaml_reads_marks_merges_and_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ok.yaml"
    file.write_bytes(b"\xef\xbb\xbfbase: &b {width: 1}\nmodel: {<<: *b, kind: double}\n")
    assert load_yaml(file) == {"base": {"width": 1}, "model": {"width": 1, "kind": "double"}}
    file.write_text("# only a comment\n")
    assert load_yaml(file) == {}


def test_load_yaml_opens_only_regular_utf8_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "latin").write_bytes(b"a: \xe9")
    for name, message in (("fifo", "not a regular file"), ("none", "no such file"), ("latin", "not UTF-8")):
        with pytest.raises(ConfigError, match=message):
            load_yaml(tmp_path / name)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_yaml(tmp_path)


def test_load_config_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("rate: 1e-3\n")
    assert load_config(Run, file, ["model.width=5"]) == Run(1e-3, Model(5))
    with pytest.raises(ConfigError, match=r"run\.yaml: model\.width: expected a whole number"):
        load_config(Run, file, ["model.width=x"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("abc: ~0-19e.#'\"é\n", max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("abcde", min_size=1), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text("abcxyz", min_size=1), VALUES, max_size=4))
def test_dump_is_read_back_as_it_was(mapping: dict[str, object]) -> None:
    assert (parse_yaml(dump_yaml(mapping), where="dump") or {}) == mapping
