"""The page of a study: two edits side by side, a question, an answer by button or key; one file, nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from a2cli.evaluation.study.config import ANSWERS_FORMAT, VERSION
from a2cli.evaluation.study.script import SCRIPT
from a2cli.pages.page import build_page
from a2cli.pages.plots import escape_text

SECONDS = 6  # that an answer takes, about

STYLE = """
[hidden] { display: none !important; } body { max-width: 1360px; padding-top: 18px; }
button, input, textarea { padding: 0 16px; border: 1px solid var(--soft); border-radius: 8px; background: var(--ground);
  color: var(--ink); font: inherit; font-size: 15px; }
button, input { min-height: 42px; } button { cursor: pointer; } button:hover { background: var(--tint); }
button[aria-pressed=true] { border-color: var(--s0); background: var(--tint); }
button:disabled { opacity: .4; cursor: default; }
button.main { border-color: var(--s0); background: var(--s0); color: var(--ground); font-weight: 600; }
button.main:hover { filter: brightness(1.1); }
kbd { padding: 1px 6px; border: 1px solid var(--rule); border-bottom-width: 2px; border-radius: 5px;
  background: var(--tint); color: var(--ink); font: 12px ui-monospace, monospace; }
#intro, #end { max-width: 680px; margin: 5vh auto 0; } #intro h1, #end h1 { margin-bottom: 18px; }
#intro li { margin: 6px 0; } .row { display: flex; flex-wrap: wrap; gap: 10px 12px; align-items: end; margin: 22px 0; }
.row label { display: grid; gap: 4px; flex: 1 1 220px; color: var(--soft); font-size: 13px; }
#trial header { display: grid; grid-template-columns: 1fr auto; gap: 2px 16px; align-items: center;
  margin-bottom: 14px; } #question:focus { outline: none; }
#question { font-size: 22px; } #place { color: var(--soft); } #prompt { grid-column: 1 / -1; margin: 0; }
#bar { grid-column: 1 / -1; height: 5px; border-radius: 3px; background: var(--tint); overflow: hidden; }
#bar i { display: block; width: 0; height: 100%; background: var(--s0); }
.stage { display: grid; grid-template-columns: minmax(120px, 1fr) minmax(0, 2.4fr) minmax(0, 2.4fr); gap: 18px;
  align-items: start; } .stage figure { margin: 0; min-width: 0; } .given { display: grid; gap: 14px; }
.stage figcaption { margin-top: 5px; color: var(--soft); font-size: 13px; }
.stage svg { width: 100%; max-height: 64vh; border-radius: 6px; background: var(--tint);
  outline: 1px solid var(--rule); }
.given svg { max-height: 30vh; } .choice { display: grid; gap: 10px; } .choice button { width: 100%; }
.choice.left svg { outline-color: var(--s0); } .choice.right svg { outline-color: var(--s1); }
.choice b { color: var(--ink); font-size: 15px; }
.edge { fill: none; stroke: #fff; stroke-width: 2.8; } .line { fill: none; stroke: #e6005a; stroke-width: 1.4; }
.edge, .line { stroke-linejoin: round; vector-effect: non-scaling-stroke; } .bare .edge, .bare .line { display: none; }
.answers { display: flex; flex-wrap: wrap; gap: 10px; justify-content: center; margin-top: 16px; }
.answers .push { margin-left: auto; } #tie { min-width: 11em; }
textarea { width: 100%; height: 190px; padding: 10px 12px; font: 12.5px/1.5 ui-monospace, monospace; }
#said { min-height: 1.5em; color: var(--soft); }
@media (max-width: 760px) { .stage { grid-template-columns: 1fr 1fr; gap: 10px; } #question { font-size: 18px; }
  .given { grid-column: 1 / -1; grid-template-columns: 1fr 1fr; gap: 10px; } .given svg { max-height: 22vh; }
  .answers .push { margin-left: 0; } button kbd { display: none; } }
"""


def build_study_page(title: str, data: Mapping[str, Any]) -> str:
    """The whole page. `data`: study, questions, trials, pictures, as `build_study` makes them, without names."""
    known = {**data, "format": ANSWERS_FORMAT, "version": VERSION}
    text = json.dumps(known, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    script = f"const STUDY = {text.replace('<', chr(92) + 'u003c')};{SCRIPT}"
    body = _build_body(title, data["trials"], len(data["questions"]))
    return build_page(title, body, style=STYLE, script=script)


def _build_body(title: str, trials: Sequence[Mapping[str, Any]], questions: int) -> str:
    asked = f"{len(trials)} pairs" + (f", {questions} questions each" if questions > 1 else "")
    minutes = max(1, round(len(trials) * questions * SECONDS / 60))
    told = (
        "You will see a photo with a marked region, a reference picture, and two results in which the subject of the"
        " reference was put into the region."
        if any(trial["reference"] is not None for trial in trials)
        else "You will see a photo, what was asked for, and two results."
    )
    return f"""<noscript><p>This page needs JavaScript; it runs on this device alone.</p></noscript>
<section id="intro" hidden><h1>{escape_text(title)}</h1>
<p>{told} Say which of the two is better. There are {asked}: about {minutes}
{"minute" if minutes == 1 else "minutes"}.</p>
<ul><li>Which method made which result is not shown, and their sides are drawn by lot.</li>
<li>Say <i>equal</i> where you see no difference that matters; take back any answer.</li>
<li>Keys: <kbd>←</kbd> left, <kbd>→</kbd> right, <kbd>↓</kbd> equal, <kbd>Backspace</kbd> take back,
<kbd>Z</kbd> zoom, <kbd>M</kbd> mask.</li>
<li>Nothing is sent anywhere. At the end you save a file and hand it on.</li></ul>
<div class="row"><label>Your name or initials, if you like<input id="name" maxlength="80" autocomplete="off"></label>
<button type="button" id="start" class="main">Start</button>
<button type="button" id="restart" hidden>Start afresh</button></div></section>
<section id="trial" hidden aria-labelledby="question"><header><h1 id="question" tabindex="-1"></h1>
<output id="place" aria-live="polite"></output><div id="bar" aria-hidden="true"><i></i></div>
<p id="prompt"></p></header>
<div class="stage"><div class="given">{_build_view("source", "Photo and region")}{_build_view("reference", "Reference")}
</div>{_build_choice("left", "A", "←")}{_build_choice("right", "B", "→")}</div>
<div class="answers"><button type="button" id="undo">Take back <kbd>Backspace</kbd></button>
<button type="button" id="tie">Equal <kbd>↓</kbd></button>
<button type="button" id="zoom" aria-pressed="false">Zoom <kbd>Z</kbd></button>
<button type="button" id="mask" aria-pressed="true">Mask <kbd>M</kbd></button></div></section>
<section id="end" hidden><h1>Thank you</h1><p id="summary"></p>
<div class="row"><button type="button" id="save" class="main">Save the answers</button>
<button type="button" id="copy">Copy them</button><button type="button" id="back">Take back the last</button></div>
<p id="said" role="status"></p>
<label for="answers">The same, to be copied by hand</label>
<textarea id="answers" readonly spellcheck="false"></textarea>
</section>"""


def _build_view(name: str, words: str) -> str:
    return (
        f'<figure id="{name}-view"><svg id="{name}" role="img" aria-label="{words}"></svg>'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _build_choice(name: str, letter: str, key: str) -> str:
    return (
        f'<div class="choice {name}"><figure><svg id="{name}" role="img" aria-label="Result {letter}"></svg></figure>'
        f'<button type="button" id="choose-{name}">{letter} is better <kbd>{key}</kbd></button></div>'
    )
