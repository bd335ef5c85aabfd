"""Sentences: about pictures, with what they claim, and about everything else.

A `Caption` carries its claims, so that whether it truly describes a picture is decided by
comparing them with the `Scene`, never by who wrote it for which picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scenes import KINDS, Scene

Rng = np.random.Generator

#: topic -> kinds that its pages show
TOPICS: dict[str, tuple[str, ...]] = {
    "travel": ("boat", "lighthouse", "balloon", "tent", "windmill", "house", "bus"),
    "garden": ("flower", "tree", "mushroom", "apple", "chair", "pear", "duck"),
    "kitchen": ("apple", "cake", "mug", "teapot", "fish", "pear"),
    "driving": ("car", "bus", "bicycle", "house", "car"),
    "animals": ("dog", "cat", "horse", "duck"),
}

#: kind -> (common names, rarer names), singular and plural
NAMES: dict[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]] = {
    "boat": ((("boat", "boats"), ("sailing boat", "sailing boats")), (("vessel", "vessels"),)),
    "duck": ((("duck", "ducks"),), (("drake", "drakes"),)),
    "lighthouse": ((("lighthouse", "lighthouses"),), (("beacon", "beacons"),)),
    "house": ((("house", "houses"), ("cottage", "cottages")), (("home", "homes"),)),
    "windmill": ((("windmill", "windmills"), ("mill", "mills")), ()),
    "tent": ((("tent", "tents"),), (("shelter", "shelters"),)),
    "balloon": ((("balloon", "balloons"), ("hot air balloon", "hot air balloons")), ()),
    "tree": ((("tree", "trees"),), (("maple", "maples"), ("cherry", "cherries"))),
    "flower": ((("flower", "flowers"), ("blossom", "blossoms")), (("dahlia", "dahlias"),)),
    "mushroom": ((("mushroom", "mushrooms"),), (("toadstool", "toadstools"),)),
    "car": ((("car", "cars"),), (("sedan", "sedans"), ("vehicle", "vehicles"))),
    "bus": ((("bus", "buses"), ("coach", "coaches")), (("vehicle", "vehicles"),)),
    "bicycle": ((("bicycle", "bicycles"), ("bike", "bikes")), (("two-wheeler", "two-wheelers"),)),
    "dog": ((("dog", "dogs"), ("puppy", "puppies")), (("hound", "hounds"),)),
    "cat": ((("cat", "cats"), ("kitten", "kittens")), (("tabby", "tabbies"),)),
    "horse": ((("horse", "horses"),), (("pony", "ponies"), ("mare", "mares"))),
    "apple": ((("apple", "apples"),), (("pippin", "pippins"),)),
    "pear": ((("pear", "pears"),), ()),
    "cake": ((("cake", "cakes"), ("birthday cake", "birthday cakes")), (("sponge", "sponges"),)),
    "mug": ((("mug", "mugs"), ("coffee mug", "coffee mugs")), (("cup", "cups"),)),
    "teapot": ((("teapot", "teapots"),), (("pot", "pots"),)),
    "fish": ((("fish", "fish"),), (("trout", "trout"), ("bream", "bream"))),
    "chair": ((("chair", "chairs"),), (("seat", "seats"),)),
}
WHERE: dict[str, tuple[str, ...]] = {
    "sea": ("out at sea", "on the open water", "off the coast", "in the bay"),
    "lake": ("on the lake", "by the lake", "in front of the hills across the lake"),
    "beach": ("on the beach", "in the sand", "at the shore", "near the dunes"),
    "meadow": ("in the meadow", "on the grass", "in the field", "on the lawn"),
    "mountains": ("in the mountains", "below the peaks", "high up in the valley"),
    "forest": ("at the edge of the forest", "in the woods", "between the firs"),
    "snow": ("in the snow", "in the middle of winter", "on a frozen field"),
    "street": ("in our street", "in town", "in front of the apartment blocks", "downtown"),
    "table": ("on the wooden table", "on the old oak table", "on the dining table"),
    "kitchen": ("in the kitchen", "on the counter", "in front of the tiles"),
}
WHEN: dict[str, tuple[str, ...]] = {
    "day": ("on a clear day", "in bright daylight", "under a blue sky", "at noon"),
    "sunset": ("at sunset", "in the evening light", "just before dusk"),
    "night": ("at night", "after dark", "under the stars"),
    "fog": ("in the fog", "on a misty morning", "in thick mist"),
}
_NUMBER = {1: ("a", "one", "this"), 2: ("two", "a pair of"), 3: ("three",)}

#: {np} the thing with its colour and number, {in} the place, {at} the light, {it} the bare noun
_CAPTIONS = (
    "{np} {in} {at}.",
    "{np} {in}.",
    "Here you can see {np} {in} {at}.",
    "We came across {np} {in}, and I had to stop.",
    "In this photo there is {np} {in}.",
    "{np} {in} {at}, taken with my old camera.",
    "{name} took this picture of {np} {in} {at}.",
    "Above: {np} {in}.",
    "My favourite shot of the day shows {np} {at}.",
    "And then, {at}, there was {np} right in front of us.",
    "{np}, photographed {in} by {name}.",
    "You would not expect {np} {in}, but there it was.",
    "The first thing we noticed was {np} {in}.",
    "Nothing says {month} like {np} {in}.",
    "It is hard to miss {np} {in} {at}.",
    "Just look at {np} {in}!",
    "A closer look at {np}, seen {in} {at}.",
    "{name} was very proud of {np} that we found {in}.",
)
#: captions that say little: they name the thing in rarer words, or only the place
_VAGUE = (
    "There it stood, {np}, and nobody said a word for a while.",
    "{name} still talks about {np} to everyone who will listen.",
    "After all the trouble of the morning we were glad to have {np} to look at.",
    "This is what we had been waiting for since {month}: {np}.",
    "If you ask {name}, {np} like that was worth every penny we spent on the trip.",
)
_VIEW = (
    "This is how it looked {in} {at}.",
    "The view {in} {at} was better than anything we had planned.",
    "A quiet moment {in}, {at}.",
)


@dataclass(frozen=True)
class Caption:
    """A sentence and what it claims of a picture; nothing claimed means it describes none."""

    text: str
    claims: dict[str, str | int] = field(default_factory=dict)

    def describes(self, scene: Scene) -> bool:
        """Say whether all that the sentence claims holds for the picture."""
        return bool(self.claims) and all(getattr(scene, k) == v for k, v in self.claims.items())


def _pick(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _noun_phrase(rng: Rng, scene: Scene, rare: bool, claims: dict[str, str | int]) -> str:
    common, rarer = NAMES[scene.kind]
    names = rarer if rare and rarer else common
    singular, plural = names[int(rng.integers(len(names)))]
    claims["kind"] = scene.kind
    coloured = rng.random() < (0.25 if rare else 0.72)
    if coloured:
        claims["colour"] = scene.colour
    claims["count"] = scene.count
    number = _pick(rng, _NUMBER[scene.count])
    noun = singular if scene.count == 1 else plural
    words = f"{scene.colour} {noun}" if coloured else noun
    if number == "a" and words[0] in "aeiou":
        number = "an"
    return f"{number} {words}"


def caption(rng: Rng, scene: Scene) -> Caption:
    """Write a sentence about a picture: usually clear, sometimes vague."""
    claims: dict[str, str | int] = {}
    style = rng.random()
    template = _pick(rng, _CAPTIONS if style < 0.8 else _VAGUE if style < 0.95 else _VIEW)
    parts = {"np": "", "in": "", "at": "", "name": _pick(rng, _SLOTS["name"])}
    parts["month"] = _pick(rng, _SLOTS["month"])
    if "{np}" in template:
        parts["np"] = _noun_phrase(rng, scene, style >= 0.8, claims)
    if "{in}" in template:
        claims["setting"] = scene.setting
        parts["in"] = _pick(rng, WHERE[scene.setting])
    if "{at}" in template:
        indoors = scene.setting in ("table", "kitchen")
        if not indoors:
            claims["light"] = scene.light
        parts["at"] = "in soft light" if indoors else _pick(rng, WHEN[scene.light])
    return Caption(_capital(template.format(**parts)), claims)


# --- everything else ----------------------------------------------------------------------------

_SLOTS: dict[str, tuple[str, ...]] = {
    "name": ("Anna", "Tom", "Maria", "Peter", "my sister", "our guide", "Grandma", "Louis", "Ines"),
    "month": ("January", "March", "April", "May", "June", "August", "September", "October"),
    "place": ("Porto", "Bergen", "the Highlands", "Málaga", "Brittany", "Vermont", "Crete"),
    "adj": ("lovely", "terrible", "simple", "surprising", "expensive", "quiet", "honest"),
    "n": ("two", "three", "five", "ten", "a dozen", "forty", "a hundred"),
    "day": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "food": ("soup", "bread", "rice", "cheese", "salad", "pasta", "porridge", "crème brûlée"),
    "spice": ("cinnamon", "pepper", "thyme", "ginger", "vanilla", "salt", "nutmeg"),
    "part": ("clutch", "gearbox", "exhaust", "battery", "headlamp", "brake", "radiator"),
    "tool": ("spade", "rake", "hose", "wheelbarrow", "pair of gloves", "bucket"),
}
_PROSE: dict[str, tuple[str, ...]] = {
    "travel": (
        "We booked the ferry to {place} in {month}, long before the prices went up.",
        "The hostel was {adj}, but the breakfast made up for it.",
        "If you only have {n} days in {place}, skip the museum and walk along the harbour.",
        "It rained on {day}, so we stayed inside and played cards.",
        "A ticket for the local train costs next to nothing when you buy it a week ahead.",
        "{name} had forgotten the map, and nobody wanted to ask for directions.",
        "The road to {place} is closed in winter, so check the weather before you leave.",
        "We walked for {n} hours and met nobody except a shepherd with his radio.",
        "In {place} the shops close at noon and open again when the owner feels like it.",
        "Pack light: you will carry everything up {n} flights of stairs.",
        "The customs officer wanted to see every single receipt.",
        "We had dinner at a {adj} little place that a taxi driver had recommended.",
        "Our phones had no signal for most of the week, which turned out to be a blessing.",
        "Next year we would like to see {place}, provided that the budget allows it.",
        "The captain told us that the harbour had been much busier when he was a boy.",
        "In the old quarter every second door is painted, and every second cat is asleep.",
        "The café at the station sells the best {food} north of {place}.",
        "You can rent almost anything by the hour, except an umbrella when you need one.",
        "{name} kept a diary and wrote down every meal.",
        "Once the fog had lifted, we finally understood what the brochure had meant.",
        "Change some money before {day}, because the bank is only open in the morning.",
        "Our hosts spoke no English, we spoke no Portuguese, and we talked all evening.",
        "Camping is allowed for one night if you ask the farmer first.",
    ),
    "garden": (
        "Water early in the morning, before the sun is high, and never at noon.",
        "The soil here is heavy clay, so I work in a little sand every {month}.",
        "You will need a {tool}, some patience and {n} bags of compost.",
        "Slugs ate {n} of my seedlings last year, and I have not forgiven them.",
        "Sow them indoors in {month} and plant them out after the last frost.",
        "{name} swears by coffee grounds, but I have never seen any difference.",
        "Prune hard in {month}, even if it hurts to do so.",
        "I bought a new {tool} on {day} and left it out in the rain at once.",
        "A thick layer of mulch keeps the weeds down and the roots cool.",
        "This variety grows slowly but forgives almost every mistake.",
        "The neighbours have been very patient with my compost heap.",
        "By {month} the beds were ready and my back was not.",
        "Blossoms need bees, so leave a wild corner somewhere behind the shed.",
        "Our orchard was planted by {name} some {n} years ago.",
        "A cold frame is easy to build from an old window and {n} planks.",
        "Dead leaves are not rubbish, whatever the man from the council says.",
        "Feed them every {n} weeks with nettle tea, and keep the windows closed.",
        "The catalogue promised fruit in the second year; we are now in the fifth.",
        "I keep a list of what I planted where, and lose it every {month}.",
        "Even in {place} it gets cold enough at night to kill young plants.",
        "Birds take the cherries, wasps take the pears, and we take what is left.",
        "Seeds from the supermarket did just as well as the {adj} ones from the catalogue.",
    ),
    "kitchen": (
        "Preheat the oven and line the tin with baking paper.",
        "Add a pinch of {spice} and stir until the sugar has dissolved.",
        "This {food} tastes even better on the second day.",
        "Peel, core and slice the fruit, then toss it in lemon juice.",
        "Let the dough rest for {n} minutes while you do the dishes.",
        "My grandmother never measured anything and was always right.",
        "You can replace the butter with oil, but please do not tell {name}.",
        "Serve with {food} and a little {spice} on top.",
        "The recipe makes {n} portions, or one if nobody is watching.",
        "Simmer gently until the liquid has reduced by half.",
        "I found this {adj} recipe in a magazine at the dentist in {month}.",
        "Leftovers keep for {n} days in the fridge.",
        "Boil the water first and warm the cups, otherwise the tea goes cold too soon.",
        "Whisk the eggs with the sugar until pale, then fold in the flour.",
        "Do not be tempted to open the oven door before the timer rings.",
        "Taste before you add more {spice}, you cannot take it out again.",
        "For the sauce you need {n} shallots and a glass of white wine.",
        "Cover with a clean towel and forget about it until {day}.",
        "If it looks wrong at this point, you are doing it right.",
        "{name} serves it with {food}, which I find {adj}.",
        "Frozen berries work, but thaw and drain them first.",
        "At the market in {place} they wrap everything in newspaper.",
        "Dinner was late again, and again nobody complained.",
    ),
    "driving": (
        "The {part} had to be replaced after {n} thousand miles.",
        "I paid the dealer in cash and drove home without insurance, which was not clever.",
        "Check the oil every {n} weeks and the tyres whenever you stop for fuel.",
        "According to the manual the {part} is maintenance free, according to {name} it is not.",
        "On the motorway it uses less than I had feared.",
        "Parking in town costs more than lunch these days.",
        "The test drive was {adj}, the paperwork took all of {day}.",
        "Winter tyres are compulsory from {month} onwards.",
        "To reset the {part} light, hold both buttons until it blinks.",
        "The previous owner had never opened the bonnet.",
        "Lock the doors, the tailgate follows by itself after {n} seconds.",
        "A used {part} from the scrapyard did the job for a tenth of the price.",
        "{name} prefers to take the train and reads on the way.",
        "The rental company charged us for a scratch that had been there before.",
        "A full tank takes you to {place} and back with a little to spare.",
        "Turn left at the roundabout and follow the signs for {n} miles.",
        "Rust comes from inside, so look under the carpets before you pay.",
        "Our mechanic shook his head, which always costs extra.",
        "Insurance went up again in {month}, for reasons nobody could explain.",
        "With the seats folded down there is room for {n} suitcases and a {tool}.",
        "The engine starts at once, even in {month}.",
        "Traffic was {adj} all the way to {place}.",
    ),
    "animals": (
        "The vet said that a little more exercise would do no harm.",
        "He eats {n} times a day and still looks at me as if I had forgotten him.",
        "We adopted her from a shelter near {place} in {month}.",
        "Training takes patience, treats and about {n} weeks.",
        "At first she hid behind the sofa and only came out at night.",
        "Never bathe them more than once a month, their skin does not like it.",
        "{name} is allergic, so we had to think about it for a long time.",
        "The {adj} truth is that they sleep for most of the day.",
        "Dry food is cheaper, but ours refuses to touch it since {month}.",
        "Every {day} we meet the same people on the same path.",
        "The breeder answered all our questions and asked us even more.",
        "A healthy coat shines and does not smell.",
        "They are happiest in company, so do not keep just one.",
        "On {day} we drive out to the stables and muck out together.",
        "Old towels are the best toys, and they cost nothing.",
        "They hear the fridge from {n} rooms away.",
        "Clip the claws every {n} weeks, or ask somebody who dares.",
        "His first winter with us was {adj} for everyone in the house.",
        "Most of what you read about their diet was written by people who sell it.",
        "Children should learn when to leave them alone.",
        "{name} found him in a box behind the supermarket in {place}.",
        "Her ears tell you everything about her mood.",
    ),
}
_ANYWHERE = (
    "Posted by {name} on {day} in {month}.",
    "Leave a comment below and tell us what you think.",
    "Subscribe to our newsletter and get {n} tips a month.",
    "Thank you for reading, and see you next {day}.",
    "This post was first published in {month} and has been updated since.",
    "Click on a picture to see it in full size.",
    "I will write more about that another time.",
    "To be honest, I did not expect so many replies.",
    "All opinions are my own, as always.",
    "It has been a {adj} month, and there is a lot to tell.",
    "But let me start at the beginning.",
    "Everybody has an opinion on this, and here is mine.",
    "As you can imagine, {name} was not amused.",
    "Some of you asked for details, so here they are.",
    "Share this page with somebody who needs it.",
    "The whole thing took us about {n} days and a lot of tea.",
    "Nobody paid me to write this, I bought everything myself.",
    "An earlier version of this page said something else; thanks to {name} for the correction.",
    "Scroll down for the short version.",
    "Comments are closed because of spam.",
    "Here is what I learned in those {n} weeks.",
    "If that sounds {adj} to you, wait until you have tried it yourself.",
    "More pictures will follow as soon as {name} finds the cable.",
    "There are {n} reasons for this, and money is only one of them.",
    "You can find the second part of this story in the archive.",
)
#: about the things on the pictures of a page, yet describing none of them
_NEAR = (
    "People often ask me how I got interested in {plural}.",
    "A good {noun} does not have to be expensive.",
    "There are more {plural} around {place} than you would think.",
    "{name} knows everything about {plural} and is happy to explain it.",
    "Before you spend money on a {noun}, read this page to the end.",
    "My first {noun} was nothing like that.",
    "I have been writing about {plural} since {month}.",
    "Not every {noun} is as easy to photograph.",
    "We compared {n} {plural} and were surprised by the result.",
    "Some {plural} are {colour}, some are not, and it hardly matters.",
    "In {month} we saw {n} {plural} {where}, but the camera was in the car.",
    "The {noun} that {name} had promised us turned out to be {colour}.",
)
_LINKS = (
    "which is why I waited until {month} before I wrote this down",
    "although {name} remembers it differently",
    "and it cost {n} times as much as we had thought",
    "as anybody who has lived in {place} will tell you",
    "but do not quote me on that",
    "or so {name} says",
    "and I would do it again",
    "at least until {month}",
    "for better or worse",
    "which nobody had told us in {place}",
    "even if the forecast for {day} said something else",
)


def _filled(rng: Rng, template: str, extra: dict[str, str] | None = None) -> str:
    slots = {name: _pick(rng, options) for name, options in _SLOTS.items()}
    return _capital(template.format(**slots, **(extra or {})))


def prose(rng: Rng, topic: str) -> Caption:
    """Write a sentence of a topic's page that describes no picture."""
    template = _pick(rng, _PROSE[topic] if rng.random() < 0.75 else _ANYWHERE)
    if rng.random() < 0.2 and template.endswith("."):
        template = f"{template[:-1]}, {_pick(rng, _LINKS)}."
    return Caption(_filled(rng, template))


def near_miss(rng: Rng, kind: str) -> Caption:
    """Write a sentence that names a kind of thing but describes no picture of it."""
    common, rarer = NAMES[kind]
    noun, plural = (common + rarer)[int(rng.integers(len(common + rarer)))]
    colours, settings = KINDS[kind]
    extra = {"noun": noun, "plural": plural, "colour": _pick(rng, colours)}
    extra["where"] = _pick(rng, WHERE[_pick(rng, settings)])
    return Caption(_filled(rng, _pick(rng, _NEAR), extra))
