"""Words that mean more than one thing, and how much each counts inside a longer text."""

from __future__ import annotations

# Names of two categories, and the one they mean where no category is said.
PREFERRED = {
    "beetle": "animals",
    "boxer": "animals",
    "bulb": "furniture",
    "crane": "animals",
    "jaguar": "animals",
    "kiwi": "plants",
    "mouse": "animals",
    "mule": "animals",
    "mustang": "animals",
    "rocket": "vehicles",
    "shades": "accessories",
}

# Colours, materials, places, makers' and other everyday words: they name a subject where the text names no other one.
MODEST = """orange, rose, peach, plum, lime, olive, salmon, lavender, violet, lilac, cherry, chestnut,
    mandarin, tangerine, lemon, apple, bamboo, pine, rice, wheat, corn, palm, grass, leaf, glass, plate,
    light, face, home, flat, park, garden, street, road, avenue, alley, lane, square, plaza, school,
    college, university, office, bank, library, museum, gallery, hospital, clinic, mall, shop, store, gate,
    tower, bridge, airport, harbour, pier, tube, underground, coach, fly, bug, cricket, mole, seal, ram,
    bat, squash, vine, palace, desktop, keyboard, monitor, sleeve, sleeves, cape, mantle, slicker,
    waterproof, worker, mens, womens, mans, womans, lady, boys, girls, ladies, male, female, senior,
    fashion, transport, landmark, chest, pot, pan, bin, book, door, crop, metro, home appliance, blonde,
    blond, blonde hair, blond hair, fair hair, golden hair, yellow hair, fair haired, brunette, brunet,
    brown hair, brown haired, black hair, black haired, dark hair, dark haired, raven hair, red hair, red
    haired, redhead, ginger hair, auburn hair, curly hair, curls, curly haired, wavy hair, straight hair,
    straight haired, long hair, long haired, short hair, short haired, lawn, meadow, pasture, tree, flower,
    cycle, jersey, persian, iris, jasmine, pansy, robin, jaguar, shades, coral, crown, kids, men, women,
    king, queen, prince, princess, family, crowd, couple, auto, jet, pc, ev, mat"""

# Poses and framings, and two words that name parts of a data set as well: inside a longer text they say which
# subcategory of a category that the text names otherwise, and nothing by themselves.
QUIET = """front, front view, frontal, frontal view, side view, front facing, full face, profile, in profile,
    side face, bust, head and shoulders, half length, half body, upper half, bust shot, full body, full
    length, whole body, full body shot, full figure, sitting, seated, standing, upright, running, jogging,
    sprinting, jumping, leaping, hopping, mask, train"""

# Whose a thing is, as shops say it: "women's boots" are boots.
OWNERS = frozenset({"mens", "womens", "mans", "womans", "ladies", "girls", "boys", "kids", "childrens"})

# Of these two an article makes a subject: "a train".
ARTICLED = frozenset({"mask", "train"})

# What follows one of these is no longer the subject: "a woman wearing a coat in front of a house".
CUTS = """in, on, at, with, without, by, under, beneath, beside, near, of, from, behind, inside, over, above,
    below, against, between, among, around, through, across, along, into, onto, for, to, towards, while,
    wearing, wears, holding, holds, carrying, carries, riding, rides, driving, drives, eating, eats,
    chasing, chases, watching, pulling, pushing"""
