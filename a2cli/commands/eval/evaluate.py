"""a2 eval itself: edits made or found, measured, told, gated."""

from __future__ import annotations

import sys

from typer import Context, Exit

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e
from a2cli.commands.eval.scores import print_scores, tell
from a2cli.commands.eval.stopping import saying_when_stopped
from a2cli.errors import ConfigError
from a2cli.files import show_name


def evaluate(
    context: Context,
    config: e.Config = None,
    changes: e.Set = None,
    data: e.Data = None,
    benchmark: e.Benchmark = None,
    split: e.Split = None,
    limit: e.Limit = None,
    per_category: e.PerCategory = None,
    protocol: e.Protocol = None,
    rough_radius: e.RoughRadius = None,
    pred: e.Pred = None,
    methods: e.Methods = None,
    run: e.Run = None,
    metrics: e.Metrics = None,
    weights: e.Weights = None,
    judge: e.Judge = None,
    out: e.Out = None,
    report: e.Report = None,
    json: e.Json = False,
    fail_under: e.FailUnder = None,
    fail_over: e.FailOver = None,
    baseline: e.Baseline = None,
    rtol: e.Rtol = None,
    workers: e.Workers = None,
    device: e.Device = None,
    seed: e.Seed = None,
    quiet: o.Quiet = False,
) -> None:
    """Measure edits: finished ones (--pred), or those that methods make (--methods ... --run)."""
    if context.invoked_subcommand is not None:
        return
    if not (config or pred or methods):
        raise ConfigError("nothing says what to measure", hint="--pred DIR, --methods NAME or --config FILE")
    from a2cli.evaluation.settings import check_places, load_eval_config, parse_judge, split_words

    options = {
        f"data.{name}": context.params[name] for name in ("benchmark", "split", "limit", "per_category")
    }
    names = ("rough_radius", "pred", "run", "out", "report", "workers", "device", "seed")
    options |= {name: context.params[name] for name in names}
    options |= {"data.path": data, "weights.folder": weights, "gate.baseline": baseline, "gate.rtol": rtol}
    options |= {"gate.fail_under": fail_under or None, "gate.fail_over": fail_over or None}
    words = {"protocols": protocol, "metrics": metrics, "methods": methods}
    options |= {name: split_words(texts) for name, texts in words.items() if texts}
    settings = load_eval_config(config, changes or (), options | parse_judge(judge))
    check_places(config, settings)
    with open_console(quiet=quiet) as console, saying_when_stopped(settings):
        from a2cli.evaluation.run import run_eval
        from a2cli.evaluation.store import format_results

        outcome = run_eval(settings, console.progress)
        tell(outcome, settings.out, console)
    if json:
        sys.stdout.write(format_results(outcome.results, gallery=False))
    else:
        print_scores(outcome.results, outcome.rows)
    for line in (*outcome.list_lacks(), *(f"missed: {line}" for line in outcome.missed)):
        print(f"a2: {show_name(line)}", file=sys.stderr)
    if outcome.exit_code:
        raise Exit(outcome.exit_code)
