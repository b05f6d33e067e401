"""Sentences about the whole picture ("make everything warmer"), told from those that name a thing in it.

Read as `grammar` reads them: an order, and what it is about. Whatever may be a thing in the photo is one: the picture
on the wall, everything on the table, the style of the dress, the light.
"""

from __future__ import annotations

from a2cli.localize.grammar import (
    CLAUSE_END,
    COLOUR,
    LEAD,
    NEGATION,
    PARTICLE,
    any_of,
    compile_words,
)

_ORDER = compile_words(
    r"(?<![\w'’-])"
    + any_of(
        "make|turn|change|convert|transform|morph|render|paint|repaint|colou?r|recolou?r|colou?ri[sz]e|tint|edit|adjust"
        "|alter|modify|restyle|styli[sz]e|redraw|rework|redo|reimagine|retouch|enhance|improve|fix|correct|relight"
        "|brighten|darken|lighten|saturate|desaturate|sharpen|soften|blur|denoise|warm|cool|crop|rotate|flip|mirror"
        "|upscale|set|switch|shift|have|let|give|show|draw|translate|process|filter|tweak|increase|decrease|reduce|lower"
        "|raise|boost|double|apply|add|use|put|overlay|i want|we want|i'd like|i would like"
    )
    + r"(?=\s)"
)

_THE = any_of("the|this|that|my|our|your")
_PICTURE = any_of("picture|photo|photograph|image|pic|shot|snapshot|scene")
_ENTIRE = any_of("whole|entire|complete|full|overall")
_ALL = (
    rf"(?:(?:all\s+of\s+)?{_THE}\s+{_ENTIRE}\s+{_PICTURE}|all\s+of\s+{_THE}\s+{_PICTURE}"
    r"|everything|the\s+whole\s+thing)"
)
_BARE = rf"(?:{_THE}\s+)?{_PICTURE}"
_IT = any_of("it|this|that|it all|everything")
_ASPECT = rf"(?:{_THE}\s+)?(?:(?:{_ENTIRE}|general|some|more|less)\s+)?" + any_of(
    "style|styles|art style|artistic style|visual style|mood|atmosphere|ambience|ambiance|tone|tones|lighting|weather"
    "|season|time of day|time of the day|colours|colors|colou?r palette|palette|colou?r scheme|colou?r grading"
    "|white balance|exposure|brightness|contrast|saturation|sharpness|vibrance|clarity|colou?r temperature|noise"
    "|resolution|quality"
)

_DEGREE = any_of(
    "a bit|a little|a lot|a touch|slightly|much|more|less|very|really|so|even|quite|all|completely|entirely|somewhat|up"
    "|down"
)
_TIME = any_of(
    "night|nighttime|night-time|day|daytime|dusk|dawn|sunset|sunrise|evening|morning|noon|golden hour|winter|summer"
    "|autumn|spring"
)
_TONE = any_of(
    "warm|warmer|cool|cooler|cold|colder|bright|brighter|dark|darker|lighter|soft|softer|sharp|sharper|crisp|crisper|vivid"
    "|vibrant|saturated|desaturated|muted|colou?rful|colou?rless|contrast|contrasty|moody|moodier|dramatic|gloomy|gloomier"
    "|cinematic|dreamy|vintage|retro|old|older|aged|faded|hazy|hazier|foggy|foggier|misty|rainy|snowy|sunny|sunnier|stormy"
    "|cloudy|clear|clearer|blurry|blurrier|grainy|grainier|realistic|photorealistic|painterly|artistic|abstract|festive"
    "|spooky|wintry|autumnal|professional|natural|minimalist|intense|subtle|sepia|monochrome|gr[ea]yscale"
    "|black and white|black-and-white|b&w"
)
_STYLE = any_of(
    "watercolou?r|watercolou?rs|gouache|painting|oil|oils|sketch|drawing|cartoon|comic|comics|comic book|anime|manga"
    "|pixel art|illustration|engraving|etching|lithograph|woodcut|linocut|mosaic|line art|line drawing|low poly"
    "|low-poly|3d render|render|rendering|claymation|fresco|charcoal|pastel|pastels|ink|stained glass|caricature"
    "|impressionist|impressionism|cubist|cubism|surrealist|expressionist|pop art|art deco|art nouveau|film noir"
    "|polaroid|blueprint|photograph|photo|sepia|monochrome|gr[ea]yscale|black and white|black-and-white|b&w|style"
    "|style of"
)
_TOWARDS = any_of(
    "into|to|as|like|in|look|looks|look like|looks like|look as|appear|seem|become|be|feel|feel like|from"
)
_FEW = r"(?:(?!(?:with|of|on|in|by|from|behind|under|and|an?|the)\s)[\w'’-]+\s+){0,4}?"  # a few words before a noun
_STOP = r"\s*(?:[.,;!?…]|$)"
_BEHIND = any_of(  # a look: "a watercolour of a lake", "a winter scene"; no "watercolour box"
    "of|by|with|in|at|on|from|during|and|for|as|please|again|instead|too|scene|version|style|mood|light|lighting|effect"
    "|look|tone|tones|setting|landscape|wonderland|weather|day|night|morning|evening|photo|photograph|picture|image|shot"
)
_LAST = rf"(?:(?={_STOP})|\s+{_BEHIND}(?![\w-]))"
_LOOK = rf"(?:(?:an?|the|some)\s+)?{_FEW}(?:{_STYLE}|{_TIME}|{_TONE}){_LAST}"

# What may follow: "on the wall", "frame", "of my dog" may not.
_TONED = (
    rf"(?:\s+{_TOWARDS})?(?:\s+{_DEGREE})*\s+"
    rf"(?:(?:{_TONE}|{_STYLE}|{_TIME})(?![\w-])|an?\s+{_FEW}(?:{_TONE}|{_STYLE}|{_TIME}){_LAST})"
)
_STYLED = rf"(?:\s+{_TOWARDS})+(?:\s+{_DEGREE})*\s+{_LOOK}"
_ENDED = rf"(?:\s+{_DEGREE}|\s+by\s+[\d.,]+\s*(?:%|percent|stops?)?)*{_STOP}"
_ANYHOW = (
    rf"(?:\s+{_DEGREE})*\s+"
    rf"(?:{COLOUR}(?![\w-])|(?:into|as|like|looks?|appear|seem)\s|to\s+(?!the\s+(?:left|right|side)\b))"
)
_OF_ALL = rf"(?:\s+(?:of|in|to|on|over|across)\s+(?:{_ALL}|{_BARE}))"
_EFFECT = any_of(
    "filter|effect|preset|look|feel|mood|vibe|finish|aesthetic|treatment|grain|vignette|colou?r grading|colou?r grade"
)
_WHOLE = compile_words(
    rf"{_ALL}(?:{_TONED}|{_STYLED}|{_ANYHOW}|{_ENDED})"
    rf"|{_BARE}(?:{_TONED}|{_STYLED}|{_ENDED})"
    rf"|{_THE}\s+(?:image|scene)\s+into\s"
    rf"|{_ASPECT}{_OF_ALL}?(?:{_TONED}|\s+(?:to|into|more|less|so)\s|{_ENDED})"
    rf"|{_IT}(?:\s+{_TOWARDS})*\s+(?:(?:an?|the)\s+)?{_FEW}(?:{_STYLE}|{_TIME}){_LAST}"
    rf"|(?:in)?to\s+{_LOOK}"
    rf"|(?:(?:{_ALL}|{_BARE}|{_IT})\s+)?(?:an?|some|the)\s+{_FEW}(?:{_TONE}|{_STYLE}|film|photo|blur|hdr|lens)\s+{_EFFECT}"
    rf"(?:{_OF_ALL}|\s+(?:to|on|over)\s+it)?{_STOP}"
    rf"|(?:from\s+)?(?:the\s+)?{_TIME}\s+(?:in)?to\s+(?:an?\s+)?{_TIME}(?![\w-])"
)
_WORDLESS = compile_words(
    rf"\W*(?:please\s+)?(?:(?:in|as|like)\s+(?:an?\s+|the\s+)?{_FEW}{_STYLE}(?:\s+style)?(?:\s+(?:of|by)\s.*|{_STOP})"
    rf"|{_STYLE}\s+style{_STOP}|{any_of('black and white|sepia|gr[ea]yscale|monochrome')}{_STOP})"
)


def find_whole(sentence: str) -> tuple[int, int] | None:
    """Where the first order about the whole picture stands in a sentence of single spaces; None where there is none."""
    if _WORDLESS.match(sentence):
        return 0, len(sentence)
    for verb in _ORDER.finditer(sentence):
        start = verb.start()
        if not LEAD.search(sentence, 0, start) or NEGATION.search(sentence, 0, start):
            continue
        # Behind the verb ("turn into a painting"), or behind its particle ("turn up the contrast").
        clause = sentence[: _find_end(sentence, verb.end())]
        begins = {verb.end() + 1, PARTICLE.match(clause, verb.end()).end()}  # type: ignore[union-attr]
        if any(_WHOLE.match(clause, begin) for begin in begins):
            return start, len(clause)
    return None


def _find_end(sentence: str, start: int) -> int:
    """Where an order ends that has begun; "so that the dog is red" is part of it."""
    end = CLAUSE_END.search(sentence, start)
    return len(sentence) if end is None or end.group().endswith("that ") else end.start()
