"""What captions say of each attribute: templates, several for each value.

``{c}`` is the colour and ``{d}`` the second colour; where colours can't be seen they are left out and templates that
need the second are not used. ``a(n)`` becomes the article that fits. What can stand between commas has at least one
phrase that doesn't begin with "with", since one at most of a caption's does.
"""

from __future__ import annotations

Phrases = dict[str, tuple[str, ...]]

OPENINGS: Phrases = {
    "photo": ("a portrait of a person", "a photo of a person", "a headshot of a person", "a person",
              "portrait photo of a person"),
    "pencil": ("a pencil drawing of a person", "a pencil sketch of a person", "a pencil portrait of a person"),
    "watercolour": ("a watercolour of a person", "a watercolor painting of a person",
                    "watercolour portrait of a person"),
    "oil": ("an oil painting of a person", "an oil portrait of a person", "a painted oil portrait of a person"),
    "comic": ("a comic drawing of a person", "a comic book portrait of a person", "a comic style picture of a person"),
    "black and white": ("a black and white photo of a person", "a black-and-white portrait of a person",
                        "a monochrome portrait of a person"),
    "old photograph": ("an old photograph of a person", "a vintage photo of a person", "a faded old photo of a person"),
    "neon": ("a neon portrait of a person", "a neon-lit portrait of a person", "a neon-lit photo of a person"),
}  # fmt: skip
CLOSE_UPS = ("a close-up portrait of a person", "a close-up photo of a person", "a close-up of a person")

HAIR: Phrases = {
    "bald": ("a bald head", "a shaved head"),
    "buzz cut": ("a(n) {c} buzz cut", "very short {c} hair"),
    "short": ("short {c} hair", "short-cropped {c} hair"),
    "swept back": ("{c} hair swept back", "swept-back {c} hair"),
    "side-parted": ("side-parted {c} hair", "short {c} hair parted at the side"),
    "curly": ("curly {c} hair", "{c} curls"),
    "afro": ("a(n) {c} afro", "{c} afro hair"),
    "bob": ("a(n) {c} bob", "chin-length {c} hair"),
    "fringe bob": ("a(n) {c} bob with a fringe", "chin-length {c} hair with bangs", "a fringed {c} bob"),
    "long straight": ("long straight {c} hair", "long {c} hair"),
    "long wavy": ("long wavy {c} hair", "wavy long {c} hair"),
    "bun": ("{c} hair in a bun", "a(n) {c} bun"),
    "receding": ("receding {c} hair", "short receding {c} hair"),
    "pixie": ("a(n) {c} pixie cut", "{c} hair in a pixie cut"),
    "long curly": ("long curly {c} hair", "long {c} curls"),
    "ponytail": ("{c} hair in a ponytail", "a(n) {c} ponytail"),
    "locs": ("{c} locs", "{c} dreadlocks"),
    "braids": ("{c} box braids", "long braided {c} hair"),
    "cornrows": ("{c} cornrows", "{c} hair in cornrows"),
}
BEARDS: Phrases = {
    "stubble": ("stubble", "light stubble", "a stubbly chin"),
    "moustache": ("a moustache", "a mustache"),
    "goatee": ("a goatee", "a goatee beard", "a chin beard with a moustache"),
    "short beard": ("a short beard", "a trimmed beard", "a close-cropped beard"),
    "full beard": ("a full beard", "a thick beard", "a thick full beard"),
}
#: Only garments that show their second colour have phrases with ``{d}``.
CLOTHES: Phrases = {
    "t-shirt": ("a(n) {c} t-shirt", "a(n) {c} tee"),
    "v-neck top": ("a(n) {c} v-neck top", "a(n) {c} v-neck"),
    "shirt": ("a(n) {c} shirt", "a(n) {c} button-up shirt"),
    "checked shirt": ("a(n) {c} checked shirt", "a checked {c} shirt", "a checked {c} and {d} shirt"),
    # its thin stripes have the colour, the ground between them the second
    "striped shirt": ("a(n) {c} striped shirt", "a(n) {c} and {d} striped shirt", "a(n) {c} shirt with {d} pinstripes"),
    "striped jumper": ("a(n) {c} striped jumper", "a striped {c} jumper", "a(n) {c} and {d} striped jumper",
                       "a(n) {c} jumper with {d} stripes"),
    "knitted jumper": ("a(n) {c} knitted jumper", "a knitted {c} jumper", "a(n) {c} cable-knit jumper"),
    "argyle jumper": ("a(n) {c} argyle jumper", "an argyle {c} jumper", "a(n) {c} and {d} argyle jumper",
                      "a(n) {c} argyle jumper over a(n) {d} shirt"),
    "turtleneck": ("a(n) {c} turtleneck", "a(n) {c} turtleneck jumper"),
    "hoodie": ("a(n) {c} hoodie", "a(n) {c} zipped hoodie", "a(n) {c} hoodie over a(n) {d} t-shirt"),
    "blazer": ("a(n) {c} blazer", "a(n) {c} tweed blazer", "a(n) {c} blazer over a(n) {d} shirt"),
    "denim jacket": ("a(n) {c} denim jacket", "a(n) {c} jean jacket", "a(n) {c} denim jacket over a(n) {d} t-shirt"),
    "floral dress": ("a(n) {c} floral dress", "a floral {c} dress", "a(n) {c} dress with {d} flowers"),
    "dotted blouse": ("a(n) {c} dotted blouse", "a dotted {c} blouse", "a(n) {c} blouse with {d} dots"),
}  # fmt: skip

#: Occluder and what it hides -> phrases; those of hands stand by themselves, the others follow "with".
HANDS: Phrases = {
    "mouth": ("a hand in front of the mouth", "covering the mouth with a hand", "one hand over the mouth"),
    "chin": ("chin resting on a hand", "resting the chin on a hand", "a hand under the chin"),
    "cheek": ("a hand on the cheek", "one hand against the cheek", "touching the cheek with a hand"),
    "eye": ("a hand over one eye", "covering one eye with a hand", "one eye hidden by a hand"),
}
COVERINGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("scarf", "neck"): ("a scarf round the neck", "a scarf", "a woollen scarf"),
    ("scarf", "mouth"): ("a scarf over the mouth", "a scarf pulled up over the mouth", "a scarf covering the mouth"),
    ("mask", "nose and mouth"): ("a face mask", "a medical mask", "a mask over nose and mouth"),
    ("mask", "mouth"): ("a face mask below the nose", "a medical mask over the mouth"),
}

MOODS: Phrases = {
    "smile": ("smiling", "with a smile"),
    "laugh": ("laughing", "laughing happily"),
    "surprise": ("looking surprised", "with a surprised expression"),
    "sad": ("looking sad", "looking unhappy", "with a sad expression"),
    "anger": ("looking angry", "frowning angrily", "with an angry expression"),
    "talk": ("talking", "speaking"),
    "wink": ("winking", "with a wink"),
    "blink": ("eyes closed", "with closed eyes"),
    "pout": ("pouting", "with pursed lips"),
    "grimace": ("grimacing", "pulling a face", "making a face"),
    "neutral": ("looking calm", "with a neutral expression", "with a calm face"),
}
#: What mouth or eyes alone tell; the other moods are in the brows too.
MOUTH_MOODS = ("smile", "laugh", "talk", "pout", "grimace", "neutral")
EYE_MOODS = ("wink", "blink")

LIGHTS: Phrases = {
    "soft": ("in soft light", "softly lit"),
    "left": ("lit from the left", "with light from the left"),
    "right": ("lit from the right", "with light from the right"),
    "top": ("lit from above", "with light from above"),
    "back": ("lit from behind", "backlit"),
    "dramatic": ("in dramatic light", "dramatically lit", "with hard shadows"),
    "neon": ("in neon light", "lit by neon lights"),
    "warm": ("in warm light", "warmly lit"),
    "cold": ("in cold light", "in cold blue light", "lit by cold light"),
}
STUDIO_LIGHT = "in soft studio light"
EVENING_LIGHT = "in warm evening light"
#: Lights that are told by their colour.
COLOURED_LIGHTS = ("warm", "cold", "neon")

BACKGROUNDS: Phrases = {
    "plain": ("on a plain {c} background", "against a plain {c} background", "in front of a plain {c} wall"),
    "gradient": ("on a(n) {c} gradient background", "before a(n) {c} gradient backdrop"),
    "studio": ("in front of a(n) {c} studio backdrop", "against a lit {c} backdrop",
               "on a(n) {c} studio background"),
    "mottled": ("on a mottled {c} backdrop", "before a painted {c} canvas backdrop"),
    "living room": ("in a living room", "at home", "indoors in a blurred living room"),
    "office": ("in an office", "at the office"),
    "library": ("in a library", "in front of bookshelves", "with blurred books behind"),
    "cafe": ("in a cafe", "at a cafe"),
    "kitchen": ("in a kitchen", "with a kitchen in the background"),
    "window": ("in front of a window", "by a large window", "with a window behind"),
    "park": ("in a park", "outdoors in a park", "with trees behind"),
    "forest": ("in a forest", "in the woods", "with a blurred forest behind"),
    "street": ("in a street", "on a city street", "outdoors on a street"),
    "beach": ("on a beach", "by the sea", "at the seaside"),
    "mountains": ("in the mountains", "in front of mountains", "with mountains behind"),
    "sunset": ("at sunset", "in front of a sunset", "with the evening sun behind"),
    "city night": ("in a city at night", "at night in the city", "with city lights behind"),
    "bokeh": ("in front of blurred lights", "against bokeh lights", "with blurred lights in the background"),
}  # fmt: skip
#: Words that join a part to "a person" without a comma.
ATTACHED = ("with", "wearing", "in", "on", "at", "by", "before", "against")
STUDIOS = ("plain", "gradient", "studio", "mottled")
EVENINGS = ("park", "forest", "street", "beach", "mountains", "sunset")
