"""The eight categories and the subcategories of UniEdit-500K, as A2-Edit's appendix A prints them.

The appendix says "209 fine-grained subcategories" and prints 209 names. Two of them stand twice in their category,
"Suit" in garments and "Lamp" in furniture, so 207 differ. As stated, as listed and as different, a category:

    garments 26/26/25    portraits 22/22/22    animals  33/33/33    plants       27/27/27
    accessories 26/26/26 furniture 30/30/29    vehicles 24/24/24    architecture 21/21/21

Two names are unusual. "Bowl Picking" (plants) we read as a potted plant, whose Chinese name says "bowl" and "planting";
"Electromobile" (vehicles) as anything electric on the road.
"""

from __future__ import annotations

from functools import cache

CATEGORIES = (
    "garments",
    "portraits",
    "animals",
    "plants",
    "accessories",
    "furniture",
    "vehicles",
    "architecture",
)

# As printed, in the paper's order, repetitions included.
LISTING = {
    "garments": """T-Shirt, Shirt, Sweater, Hoodie, Jacket, Coat, Down Jacket, Suit, Outerwear, Jeans,
        Shorts, Trousers, Skirt, Dress, Cheongsam, Sportswear, Pajamas, Swimsuit, Vest, Cloak, Uniform,
        Suit, Wedding Dress, Gown, Raincoat, Windbreaker""",
    "portraits": """Man, Woman, Boy, Girl, Baby, Elder, Blonde, Brunette, Black Hair, Red Hair, Curly
        Hair, Straight Hair, Long Hair, Short Hair, Front, Profile, Bust, Full Body, Sitting, Standing,
        Running, Jumping""",
    "animals": """Cat, Dog, Tabby, Ragdoll, Persian, Retriever, Shepherd, Poodle, Husky, Goldfish,
        Hamster, Rabbit, Horse, Cow, Sheep, Pig, Tiger, Lion, Leopard, Bear, Deer, Elephant, Panda, Wolf,
        Bird, Eagle, Pigeon, Parrot, Duck, Goose, Chicken, Fish, Insect""",
    "plants": """Tree, Shrub, Lawn, Bamboo, Pine, Cherry, Maple, Cactus, Flower, Rose, Lily, Sunflower,
        Tulip, Peony, Chrysanthemum, Lotus, Water Lily, Fruit, Rice, Wheat, Corn, Vegetable, Pumpkin,
        Tomato, Carrot, Cucumber, Bowl Picking""",
    "accessories": """Hat, Glasses, Sunglasses, Earrings, Necklace, Bracelet, Ring, Hairpin, Headband,
        Scarf, Tie, Cap, Belt, Watch, Bag, Backpack, Wallet, Shoes, Sneakers, Heels, Boots, Mask, Gloves,
        Sleeves, Helmet, Umbrella""",
    "furniture": """Sofa, Chair, Bed, Table, Tea Table, Desk, Bookshelf, Cabinet, Wardrobe, Rug, Lamp,
        Chandelier, Lamp, Mirror, Curtain, Photo Frame, Vase, Plate, Bowl, Cup, Knife, Fork, Spoon, Tray,
        Kettle, TV, Refrigerator, Fireplace, Washer, Computer""",
    "vehicles": """Car, Sedan, SUV, Sports Car, Truck, Bus, School Bus, Motorcycle, Electromobile,
        Bicycle, Train, Subway, Tram, Airplane, Helicopter, Drone, Ship, Yacht, Sailboat, Speedboat,
        Scooter, Skateboard, Roller Blades, Tractor""",
    "architecture": """House, Villa, Apartment, Office, Mall, Supermarket, Factory, Warehouse, School,
        Hospital, Library, Museum, Church, Temple, Bridge, Tower, Castle, Monument, Street, Square, Park""",
}


def get_listed(category: str) -> tuple[str, ...]:
    """List a category's subcategories as the appendix prints them, repetitions included."""
    return tuple(" ".join(name.split()) for name in LISTING[category].split(","))


@cache
def get_subcategories(category: str) -> tuple[str, ...]:
    """List a category's subcategories as records spell them: lower case, each once, in the paper's order."""
    return tuple(dict.fromkeys(name.lower() for name in get_listed(category)))
