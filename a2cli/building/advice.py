"""What can be done about inputs of which no pair comes."""

from __future__ import annotations

from collections import Counter

VIEWS = "--kind views for folders of views of one object, --kind worn for items and photos of them worn"
GENERATOR = "set generate.url for a generator"
# By how "stage: reason" begins; the first that fits counts.
ADVICE = {
    "pair: one view only": f"{VIEWS}, or {GENERATOR}",
    "pair: identity changes": "one subject an input, or a higher pair.identity",
    "pair: views too alike": "views that differ more, or a lower pair.variation",
    "label: no category": "--category, folders named after what they show, or label.model",
    "label: unknown category": "`a2 dataset taxonomy` lists the categories",
    "permit: no licence stated": "--licence states that of all sources",
    "permit: ": "--allow-licence allows one more",
    "detect: ": "masks or boxes beside the pictures, or detect.method=grounding-dino",
    "segment: ": "masks beside the pictures, or segment.method=sam",
    "quality: ": "better pictures, or less asked of them under quality",
    "generate: generator budget spent": "a higher generate.budget",
    "generate: ": "check generate.url and generate.model",
    "worker: took too long": "a higher timeout_s",
    "worker: ": "fewer --workers, or more memory",
    "read: ": "mend or replace the files",
}


def get_advice(reasons: Counter[str]) -> str:
    """What helps against the most frequent of the reasons ("stage: reason"), "" where nothing is known to."""
    most = reasons.most_common(1)[0][0] if reasons else ""
    return next((advice for start, advice in ADVICE.items() if most.startswith(start)), "")


def get_single_advice(kinds: set[str]) -> str:
    """What helps where every input is a single picture, by the kinds of these."""
    if "images" in kinds:
        return f"{VIEWS}, or {GENERATOR}"
    return f"two or more pictures of each object, or {GENERATOR}"
