"""The words the world is written with: topics and their adjectives, names, places, lists of things, syllables.

Topics are singular nouns, so that "the {noun}" and "{noun} is" always read right.
"""

from __future__ import annotations

_SMALL_NUMBERS = "no one two three four five six seven eight nine ten eleven twelve"
NUMBER_WORDS: tuple[str, ...] = tuple(_SMALL_NUMBERS.split())
"""Small numbers in words, by their values."""
DIGITS: dict[str, str] = {word: str(number) for number, word in enumerate(NUMBER_WORDS)} | {"none": "0", "zero": "0"}
"""And the other way round: "four" -> "4"."""

_NOUNS_BY_ADJECTIVES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("warm", "fresh", "good"): ("bread", "soup", "cake", "pie", "tea", "coffee", "rice", "porridge"),
    ("sweet", "fresh", "round"): ("apple", "cherry", "plum", "melon", "peach", "lemon", "berry", "grape"),
    ("fresh", "good", "soft"): ("cheese", "butter", "egg", "milk", "honey", "jam", "salt", "sugar"),
    ("green", "fresh", "small"): ("bean", "pea", "salad", "pepper", "cabbage", "carrot"),
    ("bright", "high", "golden"): ("moon", "sun", "star", "sky", "rainbow", "fire", "candle", "lamp"),
    ("cold", "white", "quiet"): ("snow", "ice", "winter", "frost", "fog", "cloud"),
    ("wild", "loud", "strong"): ("storm", "wind", "wave", "thunder", "rain", "sea"),
    ("kind", "happy", "loyal"): ("dog", "horse", "friend", "mother", "father", "neighbour"),
    ("small", "quiet", "soft"): ("cat", "mouse", "rabbit", "kitten", "lamb", "moth"),
    ("quick", "little", "busy"): ("bird", "bee", "fox", "frog", "squirrel", "robin", "spider"),
    ("big", "slow", "strong"): ("bear", "whale", "camel", "cow", "lion", "tiger", "wolf"),
    ("green", "quiet", "old"): ("garden", "forest", "tree", "meadow", "hill", "park", "leaf", "grass"),
    ("red", "pretty", "sweet"): ("rose", "tulip", "flower", "daisy", "lily", "violet"),
    ("deep", "blue", "clear"): ("river", "lake", "ocean", "stream", "pond", "water"),
    ("old", "big", "quiet"): ("house", "castle", "tower", "bridge", "church", "town", "village", "school"),
    ("warm", "soft", "old"): ("coat", "hat", "scarf", "blanket", "pillow", "bed", "shoe", "sock"),
    ("new", "fast", "shiny"): ("train", "boat", "ship", "car", "plane", "bicycle", "robot"),
    ("useful", "small", "old"): ("key", "clock", "pen", "book", "box", "spoon", "letter", "mirror", "basket"),
    ("loud", "happy", "old"): ("song", "drum", "bell", "piano", "dance", "fiddle", "game", "story"),
    ("long", "happy", "warm"): ("summer", "spring", "morning", "evening", "dream", "journey", "holiday"),
}

NOUNS: dict[str, tuple[str, ...]] = {
    noun: adjectives for adjectives, nouns in _NOUNS_BY_ADJECTIVES.items() for noun in nouns
}

ADJECTIVES: tuple[str, ...] = tuple(dict.fromkeys(word for adjectives in _NOUNS_BY_ADJECTIVES for word in adjectives))

NAME_STYLES: dict[str, tuple[str, ...]] = {
    "flower names": ("Rose", "Lily", "Daisy", "Violet", "Iris", "Ivy", "Poppy", "Jasmine"),
    "short names": ("Tom", "Ben", "Sam", "Max", "Tim", "Dan", "Leo", "Kim"),
    "old names": ("Arthur", "Edith", "Walter", "Martha", "Harold", "Agnes", "Albert", "Ruth"),
    "long names": (
        "Alexander",
        "Elizabeth",
        "Benjamin",
        "Isabella",
        "Sebastian",
        "Victoria",
        "Christopher",
        "Catherine",
    ),
    "cat names": ("Whiskers", "Mittens", "Shadow", "Felix", "Smoky", "Socks", "Ginger"),
    "dog names": ("Rex", "Buddy", "Rover", "Bella", "Lucky", "Fido", "Duke"),
    "robot names": ("Robo", "Bolt", "Gizmo", "Chip", "Sparky", "Pixel", "Turbo"),
    "star names": ("Nova", "Luna", "Stella", "Orion", "Sirius", "Vega", "Comet"),
}

_WOMEN: tuple[str, ...] = (
    *(
        "Anna",
        "Maria",
        "Emma",
        "Clara",
        "Nina",
        "Olga",
        "Sara",
        "Julia",
        "Laura",
        "Helen",
        "Alice",
        "Mia",
        "Zoe",
        "Lucy",
    ),
    *("Kim", "Rose", "Lily", "Ruth"),
)
_MEN: tuple[str, ...] = (
    *(
        "Peter",
        "Paul",
        "David",
        "Jack",
        "Oscar",
        "Omar",
        "Hugo",
        "Noah",
        "Adam",
        "Simon",
        "Karl",
        "Ivan",
        "Luis",
        "John",
    ),
    *("Tom", "Ben", "Sam", "Max", "Tim", "Dan", "Leo", "Arthur"),
)
NAMES: tuple[str, ...] = _WOMEN + _MEN
"""The people of stories."""
FEMALE_NAMES: frozenset[str] = frozenset(_WOMEN)

PLACES: tuple[str, ...] = (
    *("market", "park", "school", "library", "station", "museum", "harbour", "village", "beach", "shop"),
    *("garden", "farm", "bakery", "castle", "lake", "zoo"),
)

CATEGORIES: dict[str, tuple[str, ...]] = {
    "fruits": ("apple", "banana", "cherry", "plum", "pear", "peach", "lemon", "melon", "grape", "strawberry"),
    "vegetables": ("carrot", "potato", "tomato", "cabbage", "onion", "bean", "pea", "cucumber", "pumpkin", "pepper"),
    "colours": ("red", "blue", "green", "yellow", "black", "white", "brown", "purple", "orange", "pink", "grey"),
    "farm animals": ("cow", "horse", "pig", "sheep", "goat", "hen", "duck", "goose", "donkey"),
    "wild animals": ("lion", "tiger", "bear", "wolf", "fox", "zebra", "giraffe", "camel", "monkey", "deer"),
    "tools": ("hammer", "saw", "shovel", "knife", "ladder", "drill", "axe", "rake", "broom", "brush"),
    "kitchen things": ("pan", "pot", "spoon", "fork", "cup", "plate", "bowl", "oven", "kettle", "glass"),
    "sports": ("football", "tennis", "golf", "hockey", "rugby", "boxing", "skiing", "swimming", "rowing", "cricket"),
    "drinks": ("water", "milk", "tea", "coffee", "juice", "wine", "beer", "lemonade", "cocoa"),
    "pieces of clothing": ("coat", "hat", "scarf", "shirt", "shoe", "sock", "dress", "skirt", "glove", "jacket"),
    "pieces of furniture": ("table", "chair", "bed", "sofa", "desk", "shelf", "bench", "cupboard", "stool"),
    "instruments": ("piano", "drum", "violin", "guitar", "flute", "trumpet", "harp", "organ", "fiddle"),
    "flowers": ("rose", "tulip", "daisy", "lily", "violet", "poppy", "iris", "sunflower"),
    "jobs": ("teacher", "doctor", "cook", "farmer", "sailor", "actor", "judge", "pilot", "baker", "waiter"),
}

ALSO_IN: dict[str, tuple[str, ...]] = {
    "fruits": ("orange", "apricot", "raspberry", "blueberry", "pineapple", "mango", "fig", "kiwi", "lime", "berry"),
    "vegetables": ("lettuce", "spinach", "leek", "garlic", "celery", "broccoli", "beetroot", "radish", "salad"),
    "colours": ("gold", "silver", "violet"),
    "farm animals": ("chicken", "rooster", "turkey", "bull", "calf", "lamb", "dog", "cat", "rabbit", "bee"),
    "wild animals": ("elephant", "crocodile", "whale", "dolphin", "shark", "snake", "squirrel", "frog", "mouse", "swan",
                     "parrot", "penguin", "lizard", "spider", "rabbit", "moth", "bird"),
    "tools": ("pliers", "screwdriver", "chisel", "spade", "hoe", "needle", "pen", "key"),
    "kitchen things": ("knife", "jug", "mug", "sieve", "tray", "lid", "basket"),
    "sports": ("basketball", "volleyball", "running", "cycling", "sailing", "baseball", "handball", "badminton"),
    "drinks": ("lemon tea", "soda", "cider", "hot chocolate"),
    "pieces of clothing": ("trousers", "blouse", "tie", "cap", "belt", "boot", "sweater", "jumper", "vest"),
    "pieces of furniture": ("wardrobe", "armchair", "couch", "bookcase", "drawer"),
    "instruments": ("bell", "cello", "clarinet", "horn", "banjo", "trombone"),
    "flowers": ("orchid", "lilac", "dandelion", "carnation", "jasmine", "ivy"),
    "jobs": ("nurse", "gardener", "miner", "butcher", "painter", "singer", "driver", "soldier", "king", "dentist"),
}  # fmt: skip
"""What also belongs to these lists, though the world's texts never put it there: only the judge knows it."""

# Every word that a haiku may use; a word that is not here can't be counted.
_BY_SYLLABLES: dict[int, str] = {
    1: """a all and as at bean bear bed bee bell bird birds black blue boat book box bread breeze bridge bright bring
       cake calls calm came can car cat cheese church clear clock cloud clouds coat cold come comes cow dance
       day deep do dog done down dream drops drum egg else fall falls far fire fly fog for fox fresh friend
       frog from frost full game go gold grape grass green grew grow grows has hat hear here high hill home
       horse house how hum i ice in is it its jam key lake lamb lamp leaf leaves life light like long look
       loud love me milk moon moth mouse my near new next night no now of old on one out pale park pea peach
       pen pie plane plum pond rain rest rests rice rise road rose round salt say scarf school sea see shine
       shines ship ships shoe sing sings sits sky sleep sleeps slow small smile snow sock soft song soon soup
       spoon spring star stars still storm stream sun sweet take tea that the then there they through time to
       touch town train tree wait waits wake walk warm wave waves we wet whale what when where white wide wild
       wind wings with wolf world year you young""",
    2: """again alone along apple around autumn away basket begins berry blanket butter cabbage cactus camel candle
       carrot castle cherry coffee daisy dancing empty evening father fiddle flower flowers forest frozen
       garden gentle golden honey journey kitten lemon letter lily lion little lonely meadow melon mirror
       misty moonlight morning mother mountain neighbour nothing ocean only open over pepper pillow porridge
       quiet rabbit rainbow resting river robin robot salad season shadow shadows silent silver sleeping
       slowly softly spider squirrel stories story sugar summer sunlight thunder tiger today tower tulip under
       village waiting wander water whisper whispers window winter without wonder""",
    3: """beautiful bicycle butterfly everything holiday piano remember together tomorrow violet yesterday""",
}

SYLLABLES: dict[str, int] = {word: count for count, words in _BY_SYLLABLES.items() for word in words.split()}
HAIKU_TOPICS: tuple[str, ...] = tuple(noun for noun in NOUNS if SYLLABLES.get(noun) in (1, 2))
"""Longer ones leave a line of five no room."""
