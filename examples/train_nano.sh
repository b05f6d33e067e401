#!/usr/bin/env bash
# Train the embedded model from nothing and put it where the package looks for it.
#   examples/train_nano.sh [KEY=VALUE ...]     every KEY=VALUE goes to all eight runs, e.g. steps=2 for a dry pass
# Needs an emoji font (fonts-noto-color-emoji) and scikit-image (pip install 'a2cli[synth]'). Interrupted runs go on
# where they stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
A2=${A2:-.venv/bin/a2}

for part in vae base tune text ground joint mot region; do
    "$A2" train --config "configs/train/nano-$part.yaml" --resume auto "$@"
done

if [ "${INSTALL:-1}" = 1 ]; then
    cp -r runs/nano-joint/model/. a2cli/assets/nano/
    for adapter in nano-mot nano-region; do
        mkdir -p "a2cli/assets/$adapter"
        cp "runs/$adapter/adapter/"* "a2cli/assets/$adapter/"
    done
fi
