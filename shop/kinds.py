"""What the demo shop sells: departments, types of product, styles and brands."""
# ruff: noqa: E501 - one type of product, one line

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One type of product.

    Attributes:
        drawing: its function in `shop.pictures.DRAWINGS`.
        department: top-level category.
        category: name of the type, plural, as the shop shows it.
        title: name of one piece.
        price: usual price, EUR.
        materials: what it is made of, to choose from.
        use: what it is for, said in the description.
        goes_with: drawings of types that people look at afterwards.
    """

    drawing: str
    department: str
    category: str
    title: str
    price: float
    materials: tuple[str, ...]
    use: str
    goes_with: tuple[str, ...]


SHOES, CLOTHING, BAGS, JEWELLERY = "Shoes", "Clothing", "Bags & Accessories", "Jewellery & Watches"
KITCHEN, HOME, FURNITURE, GARDEN = "Kitchen", "Home Decor", "Furniture", "Garden"
TECH, GAMING, SPORT, KIDS, BOOKS = "Electronics", "Gaming", "Sports", "Toys & Baby", "Books & Music"

KINDS: tuple[Kind, ...] = (
    Kind("running_shoe", SHOES, "Running shoes", "running shoe", 95, ("mesh", "knit"), "daily miles on road and track", ("t_shirt", "bottle", "watch")),
    Kind("boot", SHOES, "Boots", "boot", 130, ("leather", "suede"), "wet streets and forest paths", ("trousers", "backpack")),
    Kind("sandal", SHOES, "Sandals", "sandal", 48, ("leather", "cork"), "hot days by the water", ("sunglasses", "dress")),
    Kind("pump", SHOES, "Pumps", "pump", 110, ("leather", "satin"), "evenings and the office", ("dress", "handbag")),
    Kind("t_shirt", CLOTHING, "T-shirts", "T-shirt", 24, ("cotton", "linen"), "every day", ("trousers", "cap")),
    Kind("dress", CLOTHING, "Dresses", "dress", 79, ("viscose", "linen", "silk"), "summer parties", ("pump", "necklace")),
    Kind("hoodie", CLOTHING, "Hoodies", "hoodie", 58, ("fleece", "cotton"), "cool evenings and lazy Sundays", ("trousers", "cap")),
    Kind("trousers", CLOTHING, "Trousers", "trousers", 69, ("denim", "cotton", "wool"), "work and weekend", ("t_shirt", "boot")),
    Kind("backpack", BAGS, "Backpacks", "backpack", 72, ("canvas", "nylon"), "school, work and short trips", ("laptop", "bottle", "notebook")),
    Kind("handbag", BAGS, "Handbags", "handbag", 120, ("leather", "canvas"), "city days", ("pump", "sunglasses")),
    Kind("cap", BAGS, "Caps", "cap", 22, ("cotton", "wool"), "sun and bad hair days", ("t_shirt", "sunglasses")),
    Kind("sunglasses", BAGS, "Sunglasses", "sunglasses", 85, ("acetate", "steel"), "beach and road", ("cap", "sandal")),
    Kind("umbrella", BAGS, "Umbrellas", "umbrella", 34, ("polyester", "nylon"), "sudden showers", ("boot", "handbag")),
    Kind("watch", JEWELLERY, "Watches", "watch", 180, ("steel", "leather"), "keeping time with care", ("ring", "sunglasses")),
    Kind("ring", JEWELLERY, "Rings", "ring", 240, ("silver", "gold"), "promises and presents", ("necklace", "watch")),
    Kind("necklace", JEWELLERY, "Necklaces", "necklace", 90, ("silver", "gold", "glass"), "festive evenings", ("ring", "dress")),
    Kind("mug", KITCHEN, "Mugs", "mug", 14, ("stoneware", "porcelain"), "coffee, tea and cocoa", ("kettle", "book")),
    Kind("pan", KITCHEN, "Pans", "frying pan", 52, ("cast iron", "steel"), "eggs, steaks and pancakes", ("knife", "mug")),
    Kind("kettle", KITCHEN, "Kettles", "kettle", 45, ("enamel", "steel"), "the first tea of the day", ("mug", "pan")),
    Kind("knife", KITCHEN, "Knives", "chef's knife", 64, ("steel", "carbon steel"), "clean cuts", ("pan",)),
    Kind("bottle", KITCHEN, "Bottles", "drinking bottle", 26, ("steel", "glass"), "water on the way", ("backpack", "yoga_mat")),
    Kind("lamp", HOME, "Lamps", "table lamp", 68, ("linen", "paper"), "warm light beside the bed", ("chair", "book")),
    Kind("clock", HOME, "Clocks", "wall clock", 42, ("wood", "steel"), "kitchens and studios", ("lamp", "vase")),
    Kind("vase", HOME, "Vases", "vase", 36, ("stoneware", "glass"), "fresh flowers", ("potted_plant", "cushion")),
    Kind("cushion", HOME, "Cushions", "cushion", 28, ("velvet", "linen", "cotton"), "sofas and reading corners", ("sofa", "lamp")),
    Kind("chair", FURNITURE, "Chairs", "chair", 150, ("velvet", "oak", "linen"), "the dining table", ("lamp", "cushion")),
    Kind("sofa", FURNITURE, "Sofas", "sofa", 890, ("velvet", "linen", "leather"), "long film nights", ("cushion", "lamp")),
    Kind("bed", FURNITURE, "Beds", "bed", 640, ("oak", "pine"), "deep sleep", ("cushion", "lamp", "clock")),
    Kind("potted_plant", GARDEN, "Potted plants", "potted plant", 29, ("terracotta", "stoneware"), "bright rooms and balconies", ("watering_can", "vase")),
    Kind("cactus", GARDEN, "Cacti", "cactus", 17, ("terracotta", "stoneware"), "sunny window sills", ("potted_plant",)),
    Kind("watering_can", GARDEN, "Watering cans", "watering can", 31, ("zinc", "enamel"), "thirsty beds", ("potted_plant", "garden_fork")),
    Kind("garden_fork", GARDEN, "Garden tools", "garden fork", 38, ("ash", "steel"), "loose soil", ("watering_can", "lantern")),
    Kind("lantern", GARDEN, "Lanterns", "lantern", 33, ("steel", "glass"), "summer nights outside", ("garden_fork", "cactus")),
    Kind("phone", TECH, "Phones", "smartphone", 540, ("aluminium", "glass"), "calls, photos and maps", ("headphones", "speaker")),
    Kind("headphones", TECH, "Headphones", "headphones", 160, ("aluminium", "plastic"), "music without the train", ("phone", "laptop")),
    Kind("laptop", TECH, "Laptops", "laptop", 980, ("aluminium", "magnesium"), "study and work", ("backpack", "keyboard")),
    Kind("camera", TECH, "Cameras", "camera", 620, ("magnesium", "leather"), "portraits and travel", ("backpack", "laptop")),
    Kind("speaker", TECH, "Speakers", "speaker", 210, ("wood", "plastic"), "rooms full of sound", ("phone", "guitar")),
    Kind("game_controller", GAMING, "Controllers", "game controller", 62, ("plastic", "aluminium"), "long evenings with friends", ("handheld_console", "headphones")),
    Kind("handheld_console", GAMING, "Handhelds", "handheld console", 290, ("plastic", "aluminium"), "games on the sofa and the train", ("game_controller", "puzzle")),
    Kind("keyboard", GAMING, "Keyboards", "mechanical keyboard", 115, ("aluminium", "plastic"), "fast fingers", ("headphones", "laptop")),
    Kind("puzzle", GAMING, "Puzzles", "puzzle", 19, ("cardboard", "wood"), "rainy afternoons", ("book", "building_blocks")),
    Kind("football", SPORT, "Footballs", "football", 32, ("rubber", "leather"), "park and pitch", ("t_shirt", "running_shoe")),
    Kind("dumbbell", SPORT, "Dumbbells", "dumbbell", 39, ("iron", "rubber"), "strength at home", ("yoga_mat", "bottle")),
    Kind("tennis_racket", SPORT, "Tennis rackets", "tennis racket", 140, ("graphite", "aluminium"), "quick rallies", ("cap", "running_shoe")),
    Kind("yoga_mat", SPORT, "Yoga mats", "yoga mat", 44, ("cork", "rubber"), "stretching and calm", ("dumbbell", "bottle")),
    Kind("bicycle", SPORT, "Bicycles", "bicycle", 720, ("steel", "aluminium"), "commutes and tours", ("backpack", "bottle", "cap")),
    Kind("toy_car", KIDS, "Toy cars", "toy car", 16, ("wood", "tin"), "carpet races", ("building_blocks", "teddy_bear")),
    Kind("teddy_bear", KIDS, "Teddy bears", "teddy bear", 27, ("plush", "mohair"), "cuddles at bedtime", ("rubber_duck", "baby_bottle")),
    Kind("building_blocks", KIDS, "Building blocks", "set of building blocks", 35, ("wood", "plastic"), "towers and castles", ("toy_car", "puzzle")),
    Kind("rubber_duck", KIDS, "Bath toys", "rubber duck", 9, ("rubber", "latex"), "the bath tub", ("baby_bottle", "teddy_bear")),
    Kind("pram", KIDS, "Prams", "pram", 480, ("aluminium", "canvas"), "walks with a newborn", ("baby_bottle", "teddy_bear")),
    Kind("baby_bottle", KIDS, "Baby bottles", "baby bottle", 12, ("glass", "silicone"), "the night feed", ("pram", "rubber_duck")),
    Kind("book", BOOKS, "Books", "novel", 21, ("paper", "linen"), "quiet evenings", ("mug", "lamp")),
    Kind("notebook", BOOKS, "Notebooks", "notebook", 13, ("paper", "leather"), "plans and sketches", ("pencil", "backpack")),
    Kind("pencil", BOOKS, "Pencils", "pencil", 6, ("cedar", "graphite"), "drawing and notes", ("notebook",)),
    Kind("guitar", BOOKS, "Guitars", "guitar", 260, ("spruce", "mahogany"), "campfires and first chords", ("speaker", "headphones")),
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A look: which colours and patterns it takes, and words for it."""

    name: str
    colours: tuple[str, ...]
    patterns: tuple[str, ...]
    mood: str


STYLES: tuple[Style, ...] = (
    Style("minimal", ("white", "grey", "black", "beige"), ("plain", "plain", "gradient"), "nothing that is not needed"),
    Style("classic", ("navy", "brown", "black", "red"), ("plain", "checked", "striped"), "made to outlast fashions"),
    Style("playful", ("yellow", "pink", "orange", "teal"), ("dotted", "zigzag", "striped"), "a wink in every corner"),
    Style("sporty", ("blue", "red", "green", "orange"), ("striped", "plain", "gradient"), "light, quick and tough"),
    Style("vintage", ("brown", "beige", "teal", "purple"), ("checked", "zigzag", "dotted"), "with the charm of the seventies"),
    Style("romantic", ("pink", "purple", "white", "red"), ("dotted", "gradient", "plain"), "soft lines and soft tones"),
    Style("natural", ("green", "beige", "brown", "teal"), ("plain", "plain", "striped"), "close to forest and meadow"),
)


@dataclass(frozen=True)
class Brand:
    """A maker: its style and how dear it is (1 usual)."""

    name: str
    style: str
    tier: float


BRANDS: tuple[Brand, ...] = (
    Brand("Lumo", "minimal", 1.25), Brand("Nordhus", "minimal", 1.0), Brand("Plain & Co", "minimal", 0.75),
    Brand("Aldermoor", "classic", 1.5), Brand("Harrow Lane", "classic", 1.1), Brand("Beckett", "classic", 0.8),
    Brand("Pipopop", "playful", 0.8), Brand("Zazoo", "playful", 1.0), Brand("Kolibri", "playful", 1.2),
    Brand("Veloce", "sporty", 1.3), Brand("Strideon", "sporty", 1.0), Brand("Gofar", "sporty", 0.7),
    Brand("Retrova", "vintage", 1.15), Brand("Old Tram", "vintage", 0.9), Brand("Seventyfour", "vintage", 1.0),
    Brand("Fleur Douce", "romantic", 1.3), Brand("Rosalie", "romantic", 1.0), Brand("Mirabel", "romantic", 0.8),
    Brand("Waldkind", "natural", 1.2), Brand("Fernleaf", "natural", 1.0), Brand("Moss & Clay", "natural", 0.85),
)  # fmt: skip
