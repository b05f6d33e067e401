"""A sentence about a target photo: what it shows, in which colour, where, and whether all of it can be seen."""

from __future__ import annotations

import re

import cv2
import numpy as np

from a2cli.data.subjects import Subject

PARTLY_HIDDEN = ", partly hidden"
_HIDDEN_FROM = 0.08  # share of the subject behind something that is worth a word
_ASIDE = 0.12  # distance of the subject from the middle, in sides of the picture, that is worth one
_DOMINANT, _BOTH = 0.45, 0.7  # shares of the subject that one colour, or two together, must have to be named

# Upper ends of hues in degrees; red is what remains on both sides.
_HUES = (
    (14, "red"),
    (40, "orange"),
    (66, "yellow"),
    (165, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (295, "purple"),
    (346, "pink"),
    (361, "red"),
)
COLOURS = ("black", "white", "grey", "brown", "beige", "olive", *dict.fromkeys(name for _, name in _HUES))
_OWN_COLOUR = re.compile(r"^(?:red|green|orange|white|black|dark) (?=\w)")
# Names that are no noun to be counted, or not what one would call the thing.
_NAMES = {
    "astronaut": "an astronaut",
    "brick": "a brick wall",
    "building construction": "a building under construction",
    "chelsea": "a cat",
    "china": "a Chinese temple",
    "coffee": "a cup of coffee",
    "cooking": "a fried egg in a pan",
    "couch and lamp": "a couch and a lamp",
    "father christmas": "Father Christmas",
    "front-facing baby chick": "a baby chick",
    "hot beverage": "a hot drink",
    "house building": "a house",
    "house buildings": "houses",
    "kaaba": "the Kaaba",
    "leaf fluttering in wind": "a leaf in the wind",
    "light rail": "a light rail train",
    "luggage": "a suitcase",
    "man with gua pi mao": "a man with a cap",
    "metro": "a metro train",
    "mother christmas": "Mother Christmas",
    "statue of liberty": "the Statue of Liberty",
    "tokyo tower": "the Tokyo Tower",
    "womans clothes": "a woman's blouse",
}
_UNCOUNTED = ("broccoli", "coral", "garlic", "grass", "wood", "prayer beads", "leafy green")
_PROPER = re.compile(r"\b(?:bactrian|christmas|european|hindu|japanese|shinto)\b|^t(?=-)")
_WITH_ONE = re.compile(r" (with|without|in) (?!.*(?:[^s]s|hair)$)")
_SINGULAR_END = re.compile(r"(?:[sui]s|os)$")


def build_caption(
    subject: Subject, category: str, rgb: np.ndarray, mask: np.ndarray, visible: np.ndarray, hidden: float
) -> str:
    """Describe a target: "a photo of a grey cat, partly hidden, on the left".

    `rgb` (h, w, 3) uint8 shows the subject under `mask` (h, w) bool in plain light; `visible` (H, W) bool is where it
    is in the target, `hidden` the share in [0, 1] that something stands before. People get no colour.
    """
    colour = "" if category == "portraits" else get_colour(rgb, mask)
    words = get_noun(subject.label, colour)
    if subject.piece:
        words = f"a cut-out of {words}"
    return f"a photo of {words}{PARTLY_HIDDEN if hidden >= _HIDDEN_FROM else ''}{_get_place(visible)}"


def get_noun(label: str, colour: str = "") -> str:
    """A subject's name with its article, the colour between: ("mans shoe", "brown") -> "a brown man's shoe"."""
    if label in _NAMES:
        known = _NAMES[label]
        article = known.split(" ")[0] if known.startswith(("a ", "an ", "the ")) else ""
        noun = known[len(article) :].strip()
    else:
        noun = re.sub(r"[_\s-]*\d+$", "", label).replace("_", " ") or label  # of a file's name
        noun = re.sub(r"^(wo)?mans\b", r"\1man's", noun)
        noun = _PROPER.sub(lambda found: found[0].capitalize(), noun)
        noun = _WITH_ONE.sub(r" \1 a ", noun)
        article = "" if noun in _UNCOUNTED or _is_plural(noun) else "a"
    if colour:
        noun = f"{colour} {_OWN_COLOUR.sub('', noun)}"
    if article in ("a", "an"):
        article = "an" if re.match(r"(?!eu|one)[aeio]|um|up", noun, re.IGNORECASE) else "a"
    return f"{article} {noun}".strip()


def get_colour(rgb: np.ndarray, mask: np.ndarray) -> str:
    """The name of a subject's colour, of two ("red and white"), or "colourful".

    `rgb` (h, w, 3) uint8, `mask` (h, w) bool. "" for an empty mask.
    """
    names = _classify(rgb[mask])
    if not len(names):
        return ""
    shares = np.bincount(names, minlength=len(COLOURS)) / len(names)
    first, second = np.argsort(-shares, kind="stable")[:2]
    if shares[first] >= _DOMINANT:
        return COLOURS[first]
    if shares[first] + shares[second] >= _BOTH:
        return f"{COLOURS[first]} and {COLOURS[second]}"
    return "colourful"


def show_whole(caption: str) -> str:
    """The caption of a picture in which nothing stands before the subject any more."""
    return caption.replace(PARTLY_HIDDEN, "")


def _classify(pixels: np.ndarray) -> np.ndarray:
    """Pixels (N, 3) uint8 -> (N,) indices into COLOURS."""
    if not len(pixels):
        return np.zeros(0, int)
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels[None]), cv2.COLOR_RGB2HSV)[0].astype(int)
    hue, saturation, value = hsv[:, 0] * 2, hsv[:, 1], hsv[:, 2]
    ends = np.array([end for end, _ in _HUES])
    of_hue = np.array([COLOURS.index(name) for _, name in _HUES])
    names = of_hue[np.searchsorted(ends, hue, side="right")]
    warm = (hue < 46) | (hue >= 346)
    for where, name in (
        ((hue >= 40) & (hue < 66) & (value < 170), "olive"),
        (warm & (hue >= 8) & (hue < 40) & (value < 190), "brown"),
        (((hue < 20) | (hue >= 346)) & (saturation < 130) & (value > 190), "pink"),
        (warm & (hue >= 20) & (hue < 46) & (saturation < 100) & (value > 190), "beige"),
        (saturation < 48, "grey"),
        ((saturation < 38) & (value > 205), "white"),
        (value < 60, "black"),
    ):
        names[where] = COLOURS.index(name)
    return names


def _is_plural(noun: str) -> bool:
    head = re.split(r" (?:with|of|in|and) ", noun)[0]
    return head.endswith("s") and not _SINGULAR_END.search(head)


def _get_place(visible: np.ndarray) -> str:
    rows, columns = np.nonzero(visible)
    if not len(rows):
        return ""
    across = columns.mean() / visible.shape[1] - 0.5
    down = rows.mean() / visible.shape[0] - 0.5
    if max(abs(across), abs(down)) < _ASIDE:
        return ""
    if abs(across) >= abs(down):
        return ", on the left" if across < 0 else ", on the right"
    return ", at the top" if down < 0 else ", at the bottom"
