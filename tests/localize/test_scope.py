"""Which sentences are about the whole picture, and which name a thing that is called so or lies in it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from a2cli.data.instructions.phrases import TASKS, build_instruction
from a2cli.localize import find_keyword, is_about_all

WHOLE = """
make everything warmer
make everything a bit warmer, please
turn the whole picture into a watercolour
Turn the entire image into a winter scene with snow on the roofs.
brighten the image
could you please brighten the photo a little?
darken this photo by 20 %
sharpen the picture
change the style to pencil sketch
change the style of the image to anime
change the weather to rainy
change the season to winter
change the time of day to night
make the weather stormy
make the lighting softer
make the colours more vivid
increase the contrast
turn up the brightness
adjust the white balance of the photo
apply a sepia filter
add a vintage effect to the image
put a black and white filter on the photo
give the photo a vintage look
give it a cinematic look
make the image black and white
make the photo look old
make the scene foggy
turn this photo into a cartoon
turn the picture into an oil painting
turn the scene into a jungle
convert to black and white
convert the image to greyscale
make it look like a painting
make it night
turn this into a pencil drawing
turn it into a watercolour of a lake
redraw the whole thing in the style of Van Gogh
turn day into night
in the style of Van Gogh
as a watercolour
black and white
turn everything to gold
paint everything blue
make this look like it was taken at night
turn the photo into a Monet painting
change the scene to night
make everything look like lego
make the image brighter so that the dog is seen
make the entire photo darker but keep the dog as it is
please make the overall image look like a comic
i want the whole picture to look like winter
crop the photo
colorize the photo
""".strip().splitlines()

THINGS = """
replace the picture on the wall
replace the picture
remove the photo on the desk
make the photo frame golden
the photo frame
the picture
a photo of a dog
make the picture frame darker
make the picture on the wall brighter
turn the picture on the wall into a mirror
turn the image on the screen into a cat
turn the photo album black and white
make everything on the table red
make everything in the room blue
make everything to the left of the tree red
remove everything on the table
remove everything except the dog
change everything behind the man
brighten the lamp in the image
brighten the image of the saint
brighten the face
make the man in the photo smile
make the light brighter
turn on the lights
make the whole car red
change the style of the dress to modern
change the hair style
change the tone of his skin
change the weather vane to gold
change the lighting in the kitchen to blue
increase the brightness of the lamp
add a coffee filter
add a filter to the coffee machine
give the dog a vintage look
turn the dog into a drawing
turn the painting into a photograph
replace the painting with a photo
make the image brighter and remove the dog
remove the dog and make the image brighter
In this picture, replace the cup with a mug
remove the dog from the picture
replace the cat. Keep everything else as it is
don't brighten the image, replace the cup
make it blue
make it bigger
add a watercolour painting to the wall
put a picture on the wall
draw a cartoon cat on the mug
a watercolour painting
the night stand
turn the night stand into a chair
change the summer dress to a winter coat
make the black and white cat orange
replace the black and white photo with a mirror
change the colour of the car to red
paint the scene on the mug blue
set the table
let the dog look old
edit the photo so that the dog is red
change the photo: replace the dog with a cat
transform the image by replacing the dog
apply a blur filter to the background
make the sky look like sunset
make the street look like night
turn this into a comic book shop
turn this into a red cup
make the people in the scene look old
show the dog in the style of Picasso
add snow to the scene
mach das Bild heller
""".strip().splitlines()


@pytest.mark.parametrize("sentence", WHOLE)
def test_sentences_about_the_whole_picture(sentence: str) -> None:
    assert is_about_all(sentence) and find_keyword(sentence) is None
    assert is_about_all(f"  {sentence.upper()} ".replace(" ", "  "))


@pytest.mark.parametrize("sentence", THINGS)
def test_sentences_that_name_a_thing_or_nothing(sentence: str) -> None:
    assert not is_about_all(sentence)


def test_drawn_instructions_always_name_a_thing() -> None:
    rng = np.random.default_rng(3)
    names = [
        str(noun) for noun in ("photo frame", "painting", "night stand", "cartoon", "lamp", "season ticket")
    ]
    for name in names:
        for task in TASKS:
            for _ in range(12):
                drawn = build_instruction(
                    task, name, rng, other="a watercolour box", colour="black and white"
                )
                assert not is_about_all(drawn.text), drawn.text


def test_long_sentences_are_read_in_no_time() -> None:
    began = time.perf_counter()
    for text in (
        "make everything " * 200,
        "make the image a " + "very " * 500,
        "turn the style of " * 150,
        " " * 5000,
    ):
        is_about_all(text)
    assert time.perf_counter() - began < 2
