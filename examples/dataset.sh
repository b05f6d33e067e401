#!/usr/bin/env bash
# From nothing to a data set one can train on and look at: examples/dataset.sh FOLDER [PAIRS]
# For your own photos and videos put `a2 dataset build SOURCE... -o "$folder/pairs"` in the place of `synth`.
set -euo pipefail

folder=${1:?name a folder to write to}
pairs=${2:-800}

a2 dataset synth -n "$pairs" -o "$folder/pairs" --workers 2
a2 dataset validate "$folder/pairs"
a2 dataset split "$folder/pairs" -o "$folder/split" --test 5
a2 dataset validate "$folder/split"
a2 dataset stats "$folder/split" --html "$folder/stats.html"
a2 dataset preview "$folder/split" -o "$folder/preview.html"
