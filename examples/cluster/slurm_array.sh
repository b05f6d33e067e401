#!/bin/bash
# Edit a folder with a Slurm array: every task takes its part of the photos, on a GPU of its own.
#
#   sbatch --array=1-8 examples/cluster/slurm_array.sh PHOTOS MASKS REF OUT
#
# A task that failed or ran out of time is submitted again as it was: what is done is left alone.
#SBATCH --job-name=a2-edit
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --output=a2-edit-%A_%a.log
#SBATCH --signal=TERM@60
set -euo pipefail

exec a2 edit "$1" --mask "$2" --ref "$3" -o "$4/" \
    --shard "$SLURM_ARRAY_TASK_ID/${A2_SHARDS:-$SLURM_ARRAY_TASK_MAX}" \
    --resume --quiet
