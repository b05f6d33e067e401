"""A batch in a process of its own, to be stopped: the settings as JSON on the command line, a path a line on stdout."""

from __future__ import annotations

import json
import sys
from contextlib import closing

from a2cli.batch.run import run_batch
from a2cli.config.batch import BatchConfig
from a2cli.config.edit import EditConfig


def main() -> int:
    fields = json.loads(sys.argv[1])
    listed = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    config = EditConfig(**fields | listed | {"batch": BatchConfig(**fields["batch"])})
    failed = 0
    try:
        with closing(run_batch(config, sys.stdin.buffer.read)) as outcomes:
            for outcome in outcomes:
                failed += outcome.error is not None
                word = "failed" if outcome.error else "skipped" if outcome.skipped else "made"
                print(word, outcome.job.id, flush=True)
    except KeyboardInterrupt:
        return 130
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
