"""The stock of lines that poems and haiku are made from, and the table of what rhymes.

Topics stand where {x} and {y} are. `verse` puts the lines together and finds the faults of a finished poem.
"""

from __future__ import annotations

# Two lines that rhyme, with one topic.
SINGLE_COUPLETS: tuple[tuple[str, str], ...] = (
    ("The {x} was here at break of day", "and all the children came to play"),
    ("I saw the {x} late at night", "and all the room was full of light"),
    ("I love the {x}, I always do", "I keep a little just for you"),
    ("Oh, how I like the {x} here", "I think of it throughout the year"),
    ("Bring me the {x}, sit by me", "and we shall be as glad can be"),
    ("The {x} is what I dream of now", "I want to have it, tell me how"),
    ("Come and take the {x} by the hand", "and walk with it across the land"),
    ("The {x} makes me want to sing", "of all the joy that it can bring"),
    ("Somewhere the {x} waits for me", "beside the hill, beside the sea"),
    ("The {x} lives within my heart", "and so the day has a good start"),
    ("The {x} knows a secret song", "and hums it softly all day long"),
    ("Give me the {x}, old or new", "and any sky is clear and blue"),
    ("The {x} comes, the {x} goes", "and why it does so no one knows"),
    ("I have the {x} by my side", "the world is beautiful and wide"),
    ("I met the {x} in the lane", "and walked home singing in the rain"),
    ("The {x} waits beside the door", "and every day I love it more"),
    ("When the {x} comes in sight", "everything is warm and bright"),
    ("Thank you, {x}, for this hour", "you are as lovely as a flower"),
    ("The {x} rests beneath the tree", "as quiet as a thing can be"),
    ("The king would give his crown of gold", "to have the {x} and to hold"),
    ("I found the {x} in the town", "I smiled and put my basket down"),
    ("Under the moon the {x} lay", "and dreamed until the break of day"),
    ("Dear {x}, you are my delight", "I think of you by day and night"),
    ("The {x} is a friend to all", "in spring and summer and in fall"),
    ("The wind blew past the {x} and said", "now it is time to go to bed"),
    ("I told the {x} what I know", "and then we watched the river flow"),
    ("The {x} made my morning sweet", "and put a dance into my feet"),
    ("Look, there is the {x} again", "the best of friends to mice and men"),
    ("I drew the {x} with my pen", "and then I drew it once again"),
    ("All winter long in ice and snow", "the {x} made my warm heart glow"),
    ("The {x} has a tale to tell", "it is as clear as any bell"),
    ("If the {x} had a name", "I would love it just the same"),
)

# Two lines that rhyme, with both topics.
DOUBLE_COUPLETS: tuple[tuple[str, str], ...] = (
    ("The {x} and the {y} are mine", "together they are always fine"),
    ("The {x} met the {y} one day", "and they went on the same long way"),
    ("With the {x} and the {y} near", "there is not anything to fear"),
    ("I love the {x} and the {y} too", "and this is why I sing to you"),
    ("The {x} told the {y} a tale", "of ships that on the ocean sail"),
    ("I sing of {x} and {y} and all", "from early spring until the fall"),
    ("The {x} danced, the {y} sang", "and all the bells of evening rang"),
    ("The {x} saw the {y} and smiled", "as happy as a little child"),
    ("The {x} and the {y} went to sea", "as merry as they both could be"),
)

_RHYME_GROUPS: tuple[str, ...] = (
    "day play way say may stay lay away today gray",
    "night light bright sight delight right white tonight kite",
    "do you new blue too true through few view shoe",
    "here year near dear fear clear ear hear cheer",
    "me be sea tree see free bee tea key three agree",
    "now how cow bow",
    "hand land sand stand",
    "sing bring spring king ring thing wing",
    "heart start part art",
    "song long strong along",
    "goes knows rose grows nose shows snows",
    "side wide ride tide hide beside",
    "lane rain train grain plain",
    "door more floor four before shore",
    "hour flower power shower tower",
    "gold hold old told cold",
    "town down brown crown",
    "all fall small tall call ball",
    "said bed bread head red instead",
    "know flow snow glow go grow slow show below",
    "sweet feet meet eat street",
    "again men pen then ten hen when",
    "tell bell well shell",
    "name same game came",
    "mine fine shine wine line",
    "tale sail whale pale",
    "sang rang",
    "smiled child wild",
    "moon soon noon tune spoon",
    "cat hat sat that",
    "cake make take lake wake",
    "mouse house",
    "sky high fly by my why goodbye pie",
    "dog fog log frog",
    "boat coat goat float",
    "star far car are",
    "sun fun run one done",
    "book look took cook",
    "mind kind find behind",
    "cheese please breeze trees bees",
)

RHYMES: dict[str, frozenset[int]] = {}
"""word -> numbers of the groups it rhymes in; words of one group rhyme with each other."""
for _number, _group in enumerate(_RHYME_GROUPS):
    for _word in _group.split():
        RHYMES[_word] = RHYMES.get(_word, frozenset()) | {_number}

# Haiku lines of five and seven syllables, by the syllables of the topic in {x}; 0 has no topic.
HAIKU_FIVES: dict[int, tuple[str, ...]] = {
    0: (
        "the long night is still",
        "silent as the snow",
        "the world is at rest",
        "softly falls the rain",
        "a new day begins",
        "nothing else is near",
        "I smile and go home",
        "spring is here again",
        "and the day is done",
        "how quiet it is",
    ),
    1: (
        "the {x} in the sun",
        "look, the {x} is here",
        "the old {x} is still",
        "alone the {x} waits",
        "I sing of the {x}",
        "my {x} in the rain",
    ),
    2: (
        "the {x} is here",
        "I love the {x}",
        "the {x} at night",
        "look at the {x}",
        "my {x} alone",
        "my {x} in rain",
    ),
}
HAIKU_SEVENS: dict[int, tuple[str, ...]] = {
    0: (
        "softly now the evening comes",
        "the river whispers a song",
        "slow clouds wander in the sky",
        "golden leaves fall on the road",
        "the garden is warm and green",
        "all the little birds can sing",
        "morning light is on the hill",
        "the wind has nothing to say",
        "moonlight on the quiet pond",
        "summer rain on the window",
    ),
    1: (
        "the {x} waits under the moon",
        "silver light is on the {x}",
        "all day long I see the {x}",
        "the wind comes to touch the {x}",
    ),
    2: (
        "the {x} waits for the moon",
        "silver light on the {x}",
        "all day I see the {x}",
        "the wind sings to the {x}",
        "softly the {x} comes home",
    ),
}
