#!/usr/bin/env bash
# Train the embedded model from nothing and put it where the package looks for it.
#   examples/train_nano.sh [KEY=VALUE ...]     every KEY=VALUE goes to all four runs, e.g. steps=2 for a dry pass
# Needs an emoji font (fonts-noto-color-emoji) and scikit-image (pip install 'a2cli[synth]'). Interrupted runs go on
# where they stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
A2=${A2:-.venv/bin/a2}

"$A2" train --config configs/train/nano-vae.yaml --resume auto "$@"
"$A2" train --config configs/train/nano-base.yaml --resume auto "$@"
"$A2" train --config configs/train/nano-tune.yaml --resume auto "$@"
"$A2" train --config configs/train/nano-mot.yaml --resume auto "$@"

if [ "${INSTALL:-1}" = 1 ]; then
    cp -r runs/nano-tune/model/. a2cli/assets/nano/
    mkdir -p a2cli/assets/nano-mot
    cp runs/nano-mot/adapter/* a2cli/assets/nano-mot/
fi
