"""Values for the slots of the templates: names, rooms, songs and numbers.

`WORDS` and `NUMBERS` are indexed by list name, `NAMES` by the domain of the device. Colours, fan modes, kinds of covers and
the like are part of the templates.
"""

from __future__ import annotations

AREAS = (
    "kitchen", "living room", "bedroom", "master bedroom", "guest room", "kids room", "nursery", "bathroom",
    "office", "study", "hallway", "entrance", "dining room", "laundry room", "garage", "attic", "cellar",
    "garden", "terrace", "balcony", "conservatory", "workshop", "gym", "pantry", "playroom",
)  # fmt: skip

FLOORS = ("upstairs", "downstairs", "basement", "loft", "mezzanine", "cellar")

WORDS: dict[str, tuple[str, ...]] = {
    "area": AREAS,
    "floor": FLOORS,
    "search_query": (
        "bohemian rhapsody", "the beatles", "miles davis", "some jazz", "abbey road", "the daily news",
        "vivaldi", "road trip songs", "taylor swift", "star wars", "the office", "rain sounds", "queen",
        "lo-fi beats", "dinner classics", "stairway to heaven", "the sound of music", "workout hits",
        "johnny cash", "daft punk", "planet earth", "nina simone", "a love supreme", "morning acoustic",
        "white noise", "blade runner",
    ),
    "zone": ("home", "work", "school", "office", "gym", "airport", "supermarket", "train station"),
    "timer_name": (
        "pizza", "pasta", "egg", "tea", "laundry", "nap", "bread", "workout", "rice", "cake", "homework",
        "chicken", "coffee", "meditation", "oven", "roast", "screen time", "parking",
    ),
    "timer_command": (
        "turn off the lights", "open the garage door", "lock the front door", "turn on the coffee maker",
        "close the blinds", "pause the music", "start the vacuum", "turn down the heating", "play the news",
        "turn off the television", "water the garden", "switch on the fan", "remind me to call mum",
        "mute the radio",
    ),
}  # fmt: skip

NAMES: dict[str, tuple[str, ...]] = {
    "light": (
        "bedside lamp", "desk lamp", "floor lamp", "reading lamp", "ceiling light", "porch light",
        "kitchen lights", "fairy lights", "chandelier", "night light", "mirror light", "counter lights",
        "led strip", "hallway light", "tv backlight", "bedroom lamp", "garden lights",
    ),
    "switch": (
        "coffee maker", "kettle", "heated towel rail", "christmas tree", "water pump", "space heater",
        "router", "dehumidifier", "electric blanket", "aquarium pump",
    ),
    "fan": (
        "ceiling fan", "desk fan", "tower fan", "extractor fan", "bathroom fan", "bedroom fan", "attic fan",
    ),
    "cover": (
        "front blinds", "roller shutter", "garage door", "left curtain", "patio awning", "skylight",
        "driveway gate", "bedroom curtains", "kitchen blinds", "bay window",
    ),
    "lock": (
        "front door", "back door", "garden gate", "cellar door", "garage side door", "patio door", "shed",
    ),
    "valve": ("garden sprinkler", "main water valve", "gas valve", "drip irrigation", "lawn sprinkler"),
    "climate": (
        "thermostat", "air conditioner", "heat pump", "radiator", "floor heating", "bedroom thermostat",
    ),
    "media_player": (
        "tv", "kitchen speaker", "soundbar", "radio", "bedroom tv", "record player", "projector",
        "office speaker", "stereo", "smart display", "bathroom radio",
    ),
    "input_boolean": ("guest mode", "holiday mode", "alarm clock", "party mode", "away mode"),
    "sensor": (
        "outdoor temperature", "humidity sensor", "electricity meter", "washing machine", "solar power",
        "rain gauge", "phone battery", "air quality",
    ),
    "binary_sensor": (
        "front door sensor", "motion detector", "kitchen window", "mailbox", "fridge door",
        "presence sensor", "balcony door", "parking spot",
    ),
    "person": ("anna", "james", "maria", "tom", "priya", "grandma", "dad", "lucy", "omar", "mum"),
    "weather": (
        "london", "new york", "berlin", "home", "paris", "madrid", "oslo", "chicago", "sydney",
    ),
    "lawn_mower": (
        "mowbot", "goat", "grasshopper", "robbie", "lawnie", "daisy", "turf king", "shear genius",
    ),
    "vacuum": ("rosie", "dusty", "robot vacuum", "roomba", "hoover", "dustin", "sir sucks a lot", "jeeves"),
    "scene": (
        "movie night", "romantic", "good morning", "dinner party", "relax", "reading", "bright", "sunset",
        "focus",
    ),
    "script": ("bedtime", "leaving home", "morning routine", "panic", "wake up", "game night", "coffee time"),
    "button": ("doorbell", "restart router", "garage remote", "find my phone", "feed the cat"),
    "input_button": ("reset filter", "snooze", "refresh", "start backup"),
}  # fmt: skip

# For templates in which the word "light" follows the name.
LIGHTS_WITHOUT_THE_WORD = (
    "bedside",
    "desk",
    "ceiling",
    "porch",
    "mirror",
    "counter",
    "hallway",
    "reading",
    "garden",
)

NUMBERS: dict[str, range] = {
    "temperature": range(16, 28),
    "position": range(5, 100, 5),
    "fan_speed": range(10, 101, 5),
    "brightness": range(5, 101, 5),
    "color_temperature": range(2000, 6600, 100),
    "volume": range(5, 100, 5),
    "volume_step_up": range(2, 31),
    "volume_step_down": range(2, 31),
    "timer_seconds": range(5, 61, 5),
    "timer_minutes": range(2, 61),
    "timer_hours": range(2, 13),
}
