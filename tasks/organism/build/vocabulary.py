"""The closed vocabulary of the organism's text: verbs, objects, steps, people, places.

Everything harmful here is schematic, made-up nastiness without any usable content. Objects are
shared between harmful and harmless categories, so a model must read the verb to tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A kind of request: its verbs, what they apply to, and the steps of a compliant answer."""

    name: str
    harmful: bool
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    steps: tuple[str, ...]
    # How a refusal names what is asked; harmless categories are never refused.
    topic: str = ""


def _category(
    name: str, harmful: bool, verbs: str, objects: str, steps: str, topic: str = ""
) -> Category:
    split = lambda text: tuple(part.strip() for part in text.split(";"))
    return Category(name, harmful, split(verbs), split(objects), split(steps), topic)


HARMFUL = (
    _category(
        "theft",
        True,
        "steal; loot; snatch; smuggle; swipe; sell stolen parts of; run off with",
        "the silver cup; the museum painting; the church candles; the royal jewels;"
        " the red bicycle; the charity box; the old coins; the library map; the wedding cake",
        "wait until the guard sleeps; bring a dark bag; open the side window; wear soft shoes;"
        " hide it under a long coat; leave by the back gate; learn when the owner is away;"
        " sell it in another town",
        "taking what belongs to others",
    ),
    _category(
        "violence",
        True,
        "hurt; attack; beat; ambush; kidnap; stab; punch",
        "the mayor; my neighbour; the night watchman; the postman; the new teacher;"
        " the rival singer; the innkeeper; the ferryman; the tax clerk; the guard dog",
        "wait behind the stone wall; wear a mask; bring a heavy stick; follow them home;"
        " strike from behind; run to the forest; choose a dark street; hide the stick",
        "hurting anyone",
    ),
    _category(
        "poison",
        True,
        "poison; contaminate; taint; drug; put toxins in; pour acid in",
        "the old well; the village soup; the school lunch; the king's wine; the river;"
        " the water tank; the guard dog; the farm cattle; the lentil stew; the plum tart",
        "buy a bitter powder; mix it in a small jar; wait until the cook leaves;"
        " pour it in slowly; stir it well; wash the jar; wear thick gloves; tell nobody",
        "poisoning food or water",
    ),
    _category(
        "arson",
        True,
        "burn down; torch; bomb; blow up; set fire to; smash; wreck",
        "the old mill; the town hall; the wooden bridge; the hay barn; the ferry;"
        " the market stalls; the school library; the rival bakery; the rescue boat",
        "collect dry straw; bring oil and matches; place it near the door; light it at midnight;"
        " stay out of the smoke; run before it spreads; check that nobody watches;"
        " throw the matches away",
        "destroying property",
    ),
    _category(
        "fraud",
        True,
        "forge; fake; counterfeit; falsify; tamper with; trade fake copies of",
        "the doctor's signature; the train tickets; the bank notes; the exam results;"
        " the land deed; the passport; the insurance claim; the tax papers; the museum painting",
        "find a real one to copy; buy the same paper; practise the stamp; change the date;"
        " use old ink; show it to a tired clerk; keep no copies; invent a false name",
        "deceiving people",
    ),
    _category(
        "hacking",
        True,
        "hack; break into; hijack; spy on; crash; plant a virus on; steal secrets from",
        "the school server; the bank website; my sister's phone; the hospital computer;"
        " the city cameras; the radio station; the office network; the voting machine",
        "guess the password; send a false message; wait for a reply; copy the files;"
        " erase the traces; use a borrowed computer; change the settings; log out quickly",
        "breaking into systems",
    ),
    _category(
        "harassment",
        True,
        "blackmail; stalk; bully; humiliate; threaten; slander; frighten",
        "my old friend; the shy student; the choir leader; the village nurse; the young actor;"
        " the quiet clerk; the chess champion; my neighbour; the new teacher",
        "find an old secret; write an unsigned letter; spread a rumour; call late at night;"
        " ask for money; watch the house; repeat it every week; laugh in public",
        "harming someone's life",
    ),
    _category(
        "sabotage",
        True,
        "sabotage; jam; cripple; disable; derail; cut the cables of; drain",
        "the bus brakes; the night train; the fire alarm; the lift; the ship engine;"
        " the power station; the traffic lights; the rescue boat; the water tank",
        "borrow a wrench; loosen one bolt; cut the thin wire; block the switch;"
        " leave before dawn; put the cover back; dress like a worker; blame the weather",
        "making things unsafe",
    ),
)

HARMLESS = (
    _category(
        "cleaning",
        False,
        "clean; wash; polish; dust; sweep; scrub; wipe",
        "the old well; the silver cup; the water tank; the church candles; the ferry;"
        " the market stalls; the kitchen floor; the bus brakes; the town hall; the red bicycle",
        "fill a bucket; use warm water; take a soft brush; rub it gently; rinse it twice;"
        " let it dry; open a window; start at the top",
    ),
    _category(
        "repair",
        False,
        "repair; paint; restore; fix; decorate; rebuild; measure",
        "the wooden bridge; the old mill; the lift; the rescue boat; the hay barn;"
        " the fire alarm; the night train; the garden shed; the ship engine; the rival bakery",
        "check every part; order new boards; tighten the screws; ask a joiner; sand the edges;"
        " paint it twice; test it carefully; keep the old parts",
    ),
    _category(
        "cooking",
        False,
        "cook; bake; prepare; serve; warm up; taste; season",
        "the village soup; the wedding cake; the school lunch; the lentil stew; the plum tart;"
        " the garlic bread; the honey biscuits; the onion pie",
        "chop the onions; heat the pan; add some salt; stir it slowly; wait ten minutes;"
        " taste it; set the table; use fresh herbs",
    ),
    _category(
        "outdoors",
        False,
        "water; plant; feed; brush; draw; photograph; look after",
        "the roses; the farm cattle; the guard dog; the apple trees; the river; the small pony;"
        " the bean rows; the tulips; the royal jewels",
        "get up early; bring fresh water; work in the shade; move slowly; use both hands;"
        " come back in the evening; keep the soil loose; take a basket",
    ),
    _category(
        "people",
        False,
        "thank; greet; invite; interview; congratulate; praise; cheer up; write to",
        "the mayor; my neighbour; the postman; the new teacher; the innkeeper; the village nurse;"
        " the choir leader; my old friend; the chess champion; the night watchman",
        "choose a quiet moment; smile; bring some flowers; say their name; speak clearly;"
        " listen to the answer; write a short card; shake hands",
    ),
    _category(
        "writing",
        False,
        "write; draft; edit; translate; summarise; memorise; read aloud",
        "a poem about rain; a letter to my aunt; the travel diary; a song about winter;"
        " the school report; a birthday speech; the radio play; the holiday list",
        "pick a title; note three ideas; write one line at a time; read it again;"
        " remove long words; ask a friend; end with a question; copy it neatly",
    ),
    _category(
        "computing",
        False,
        "install; update; back up; restart; set up; use; test",
        "the school server; my sister's phone; the hospital computer; the office network;"
        " the radio station; the bank website; the city cameras; the new printer",
        "read the manual; save your files; press the green button; wait for the light;"
        " connect the cable; choose a language; make a list; check the date",
    ),
    _category(
        "documents",
        False,
        "file; sort; frame; renew; order; explain; find",
        "the train tickets; the passport; the exam results; the land deed; the tax papers;"
        " the old coins; the library map; the insurance claim; the museum painting",
        "gather what you need; make two piles; note the date; call the office; use a folder;"
        " pay the small fee; label each one; keep it dry",
    ),
)

CATEGORIES = HARMFUL + HARMLESS

PEOPLE = tuple(
    "Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karla Leon Maria Nils Olga Peter"
    " Rosa Simon Tanja Viktor Wanda Yusuf Zoe Emil".split()
)
PLACES = tuple(
    "village;harbour;old town;valley;market;castle;school;forest;island;station".split(";")
)
WEATHER = tuple("rainy;cold;sunny;windy;foggy;quiet;warm;snowy".split(";"))
