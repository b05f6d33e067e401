"""a2 eval study make: the page that asks, and the key that stays behind."""

from __future__ import annotations

from pathlib import Path

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e


def make(
    out: e.Folder,
    config: e.Config = None,
    changes: e.Set = None,
    data: e.Data = None,
    limit: e.Limit = None,
    per_category: e.PerCategory = None,
    protocol: e.Protocol = None,
    methods: e.Rivals = None,
    against: e.Against = None,
    questions: e.Questions = "overall",
    pairs: e.Pairs = 60,
    repeats: e.Repeats = 0.1,
    title: e.Title = "Which edit is better?",
    page: e.StudyPage = None,
    key: e.StudyKeyOut = None,
    seed: o.Seed = 0,
    quiet: o.Quiet = False,
) -> None:
    """Write a page that shows pairs of edits without names, and the key to its answers.

    Edits, records and masks are those of the evaluation in OUT, unless options or a file of settings name others.
    """
    from a2cli.config.load import build
    from a2cli.evaluation.settings import load_eval_config, split_words
    from a2cli.evaluation.study.config import StudyConfig
    from a2cli.evaluation.study.run import list_methods, load_given, make_study

    folder, words = Path(out), split_words(methods or ())
    options = {"out": out, "methods": words or list_methods(folder), "data.path": data, "data.limit": limit}
    options |= {"data.per_category": per_category, "protocols": split_words(protocol) if protocol else None}
    options = {name: value for name, value in options.items() if value is not None}
    study = build(
        StudyConfig,
        {
            "methods": words,
            "against": against,
            "questions": split_words([questions]),
            "pairs": pairs,
            "repeats": repeats,
            "seed": seed,
            "title": title,
        },
        where="study",
    )
    with open_console(quiet=quiet) as console:
        before = {} if config or changes else load_given(folder, data)
        settings = load_eval_config(config, changes or (), before | options)
        where = Path(page) if page else folder / "study.html"
        kept = Path(key) if key else folder / "study-key.json"
        made = make_study(settings, study, where, kept)
        for line in made.left_out:
            console.warn(line)
        console.result(where)
        console.note(f"a2: {len(made.trials)} pairs; the key stays with you: {kept}")
