"""The English words around the thing in a sentence that asks for an edit, as regular expressions."""

from __future__ import annotations

import re


def any_of(words: str) -> str:
    """Alternatives from words apart by "|", spaces in them of any width; longer ones first."""
    choices = sorted((word.strip() for word in words.split("|")), key=len, reverse=True)
    return "(?:" + "|".join(word.replace(" ", r"\s+") for word in choices) + ")"


def compile_words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_START, _END = r"(?<![\w'’-])", r"(?![\w'’-])"  # a word's ends; "built-in" holds no "in"
# One word each, so that there is one way to read many of them.
DETERMINER = any_of(
    "a|an|the|my|your|his|her|its|our|their|this|that|these|those|some|any|all|every|each|both|another|other"
)
_LIGHT = r"(?:bright|dark|light|deep|pale|pastel|neon|hot|royal|sky|matte?|shiny)"
COLOUR = any_of(
    "black|white|gr[ea]y|brown|beige|olive|red|orange|yellow|green|turquoise|blue|purple|pink|gold|golden|silver|violet"
    "|navy|cyan|magenta|teal|maroon|cream|tan|lilac|indigo|crimson|scarlet|khaki|ivory|bronze|copper|colou?rful"
    "|colou?rless|multicolou?red|monochrome"
)
_QUALITY = any_of(
    "bigger|smaller|larger|taller|shorter|wider|narrower|longer|thinner|thicker|brighter|darker|lighter|older|younger"
    "|cleaner|nicer|prettier|rounder|sharper|big|small|large|tall|huge|tiny|long|short|round|square|wet|dry|clean|dirty"
    "|old|new|young|modern|vintage|shiny|wooden|metallic|transparent|invisible|see-through|blurry|happy|sad|angry|smile"
    "|laugh|gone|removed|deleted|erased|replaced|repainted|disappear|vanish|go away|go|stand out"
)

QUOTED = compile_words(
    r"“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|\"([^\"]+)\"|‘([^‘’]+)’(?!\w)"
    r"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)|`([^`]+)`"
)

VERB = compile_words(
    _START
    + "(?:(?P<replace>"
    + any_of(
        "replace|swap|exchange|switch|trade|change|convert|transform|morph|alter|modify|edit|adjust|restyle|redo|update"
        "|retouch|fix|reimagine|redesign|redraw|rework|cover|fill"
    )
    + ")|(?P<substitute>substitute)|(?P<remove>"
    + any_of(
        "remove|delete|erase|get rid|take|cut|clean|drop|hide|eliminate|wipe|crop|clear|throw|eject|discard|exclude"
        "|find|select|locate|mark|segment|highlight|mask|detect|outline|track|move|rotate|flip|blur|unblur|sharpen"
        "|shrink|enlarge|resize|scale|straighten|polish|wash|open|close|lift|push|pull|shave|trim"
    )
    + ")|(?P<make>"
    + any_of(
        "make|turn|paint|repaint|colou?r|recolou?r|colou?ri[sz]e|dye|tint|shade|render|give|dress|let|i want|we want"
        "|i'd like|i would like|set|decorate|lighten|darken|brighten|age"
    )
    + ")|(?P<place>"
    + any_of("put|place|add|insert|use|draw|show|paste|have|bring in|lay|set down|try|fit|hang|mount")
    + r"))(?=\s)"
)
# What may stand before a verb that begins an order; anything else makes it a noun ("a paint can") or a tale.
LEAD = compile_words(
    r"(?:^|[.,;:!?…–—]|"
    + _START
    + any_of(
        "please|pls|kindly|you|to|and|then|just|now|also|let's|lets|let us|will|should|must|can|could|would|i|we|but|or"
        "|try|not|don't|don’t|never|first|next|finally|simply|instead|quickly|completely|entirely|fully|help me|go|ok"
        "|okay|hi|hey|hello"
    )
    + r")\W*$"
)
NEGATION = compile_words(
    _START + r"(?:don'?t|don’t|do\s+not|never|without|not)\s+(?:\w+\s+)?$"
)  # before a verb
_VERBS = any_of(
    "replace|swap|change|turn|make|remove|delete|erase|paint|put|add|place|keep|leave|move|recolou?r|give|get"
)
CLAUSE_END = compile_words(
    r"[.!?…;\n](?=\s|$)|\s(?:and|but|then|and then|or)\s+(?:please\s+|also\s+|then\s+)*" + _VERBS + r"(?=\s)"
    r"|\s(?:but|so that|such that|because|while|before|after|until|if|when|and then|then)\s"
)
PARTICLE = compile_words(
    r"\s*(?:(?:rid\s+of|out\s+of|of|out|away|off|up|down|over|back|only|just|me|from|for|in|on)\s+)?"
)  # after a verb
ARROW = r"\s*(?:->|=>|→|⇒|⟶)\s*"
OTHER = compile_words(
    rf"\s(?:with|for|by|into|to|as|using|via|in\s+to|like)(?=\s)|\sw/|{ARROW}"
)  # what comes instead follows
FOR = compile_words(r"\sfor\s+")
_INTO = r"\s(?:(?:in)?to|with|as|like|looks?|appear|seem|becomes?|be|using|in|more|less|much|even|a\s+bit|so|very)"
BECOMES = compile_words(rf"{_INTO}(?=\s)|(?<=\w)\s(?:an?|some)(?=\s)|{ARROW}")
ALMOST = compile_words(
    rf"\sto\s+(?:be|look)\s*$|{_INTO}\s*$|\sand\s+the(?=\s)"
)  # what is left between a thing and its new look
TO = compile_words(r"\s(?:in)?to(?=\s)")
COMPLEMENT = compile_words(
    rf"(?P<thing>(?:{DETERMINER}\s+)*+(?!{DETERMINER}\s)\S+(?:\s+\S+)*?)"
    rf"(?P<look>(?:\s+(?:all|completely|entirely|fully|slightly|really|{_LIGHT}))*\s+{_LIGHT}?[\s-]*(?:{COLOUR}|{_QUALITY})(?:ish)?"
    rf"(?:(?:\s+and|\s+or|\s*,|\s*-)\s*(?:{_LIGHT}\s+)?(?:{COLOUR}|{_QUALITY}))*(?:\s+colou?r(?:ed)?)?)\s*[.!?]*$"
)
STEAD = compile_words(
    _START
    + any_of(
        "in place of|in the place of|instead of|in lieu of|in the stead of|rather than|to replace|replacing|where"
    )
    + r"\s+"
)
STATE = compile_words(
    r"\s(?:should|must|shall|needs?|has|have|ought|becomes?|is\s+now|could|can|would|will|'s\s+now)(?=\s)"
    + f"|{ARROW}"
)
WITHOUT = compile_words(rf"(?:^|\W)(?:no\s+more|no|without)\s+(?={DETERMINER}?\s*\w)")
CAPTION = compile_words(
    r"^\W*(?:(?:this|here|it)(?:'s|’s|\s+is)\s+)?(?:(?:an?|the|this|my)\s+)?(?:[\w-]+\s+){0,3}?"
    + any_of(
        "photo|photograph|picture|image|close-up|closeup|shot|snapshot|painting|drawing|portrait|view|render|sketch"
    )
    + r"\s+(?:of|showing|with)\s+"
)

_OF_WHAT = any_of(
    "colou?r|colou?rs|hue|shade|tone|tint|style|texture|material|look|appearance|shape|size|pattern|design|position|place"
    "|contents|surface"
)
LEADING = compile_words(
    rf"^\s*(?:(?:all|some|any|each|both|one|most|none)\s+of\s+|{DETERMINER}\s+|what\s+if\s+|(?:(?:where|here|there|this)\s+)?(?:is|are)\s+|(?:{DETERMINER}\s+)?{_OF_WHAT}(?:\s+(?:and|or)\s+{_OF_WHAT})?\s+of\s+)"
)
TRAILING = compile_words(
    r"(?:\s+"
    + any_of(
        "please|pls|now|too|also|as well|instead|again|away|out|off|up|altogether|completely|entirely|totally|fully"
        "|here|there|for me|thanks|thank you|only|back|around|over|and|or|then|yet|a bit|all|with it|by it|first"
        "|already"
    )
    + rf"|['’]s?\s+{_OF_WHAT}|\s+{_OF_WHAT})\W*$"
)
_THEIR = r"(?:the|this|that|my|your|his|her|its|our|their|these|those)"
_WHERE = any_of(
    "on|onto|at|near|behind|beside|besides|above|below|beneath|underneath|between|among|against|around|across|inside"
    "|outside|within|over|along|by|next to|close to|in front of|on top of|to the left|to the right|from|through|into"
    "|toward|towards|throughout|opposite"
)
_BEING = any_of(
    "sitting|standing|lying|walking|hanging|parked|placed|located|leaning|seated|looking|facing|riding"
)
PLACE = compile_words(  # what is said of a thing after its name: where it is, what it does
    rf"\s(?:{_WHERE}|(?:in|under)\s+(?:front|between|photo|picture|image|background|foreground|{_THEIR})"
    rf"|of\s+{_THEIR}\s+(?:photo|picture|image|scene|shot|frame|room)"
    rf"|{_BEING}(?=\s+(?:{_WHERE}|in|under|there|here|{DETERMINER})\s|\W*$)"
    + r"|(?:that|which|who|whose|whom|where|is|are|was|were|has|have|holding|wearing|carrying|so|as|using|via|because)"
    + r")(?=[\s,.;:!?]|$)"
)
PUNCTUATION = compile_words(
    rf"[.:;!?…()\[\]{{}}|/\n–—]+(?=\s|$)|[()\[\]{{}}|\n–—…]|,(?!\s*(?:{COLOUR}|{_QUALITY}|{_LIGHT})[\s,])"
)

# Words that name nothing one could look for.
_NOTHING = any_of(
    "it|this|that|these|those|them|him|her|he|she|they|me|us|you|i|we|everything|something|anything|nothing|thing|things"
    "|one|ones|this one|that one|the other|stuff|here|there|what|which|who|object|objects|item|subject|same|rest"
    "|rest of it|everything else|mine|yours|everybody|everyone|picture|photo|image|scene|whole picture"
    "|whole photo|whole image|entire image|entire picture|entire photo|full image|edit|sure|mask|masked area|region"
    "|area|not|way|look"
)
NOTHING = compile_words(
    rf"(?:{_NOTHING}(?:\s+{_NOTHING})*$|(?:it|them|him|me|us|this|that|with|for|by|of|to|and|or|as|than|on|onto|at"
    rf"|near|behind|in|under|from|into|where|which|who){_END})"
)
# Small words of languages whose sentences look like names of things; English sentences hold none of them.
FOREIGN = compile_words(
    _START
    + any_of(
        "der|das|den|dem|des|ein|eine|einen|einem|einer|durch|mit|und|auf|bitte|le|les|un|une|du|et|avec|par|dans|sur|el|los"
        "|las|una|por|con|y|il|lo|gli|uno|della|het|een|van|door|met|os|um|uma|pelo|pela|com|no lugar|na|przez|och|ett"
        "|med|bir|ile|bu"
    )
    + _END
)
MOST_WORDS = 12  # of a name
