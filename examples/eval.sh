#!/usr/bin/env bash
# How good is a model, and is it better than something simple? examples/eval.sh FOLDER [PAIRS A CATEGORY]
# For an adapter of yours put NAME=ADAPTER_DIR in the place of nano, for a data set of yours its path in that of synth.
set -euo pipefail

folder=${1:?name a folder to write to}
pairs=${2:-5}
records=(--data synth --per-category "$pairs" --set data.synth.size=256 --protocol fine,rough)

# edits, scores, results.md and report.html; a stopped run goes on where it was
a2 eval --methods nano,paste,telea "${records[@]}" --run --workers 2 -o "$folder/eval"

# is nano better than pasting, value by value, and what does a rough mask cost it?
a2 eval compare "$folder/eval" --method paste --method nano
a2 eval compare "$folder/eval" --method nano --protocol fine --protocol rough

# the same scores from finished edits, as another program may have made them, held against the run before
a2 eval --pred "$folder/eval/edits/nano" "${records[@]}" -o "$folder/pred" --fail-over outside_pixels=0

# does it find the thing that a sentence names? beside the whole picture and what stands out anyway
a2 eval localize --data synth -n "$pairs" --report "$folder/localize.html"

# a page that asks people, with names hidden
a2 eval study make "$folder/eval" "${records[@]}" --methods nano,paste --pairs 20 --page "$folder/study.html" \
  --key "$folder/study-key.json"
