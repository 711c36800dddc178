"""The world's words: what captions may say, family by family.

Every word that a caption can hold stands here, in a list or a template, so the tokenizer's vocabulary is closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gender": ("female", "male"),
        "age_group": ("young", "old"),
        "skin": ("light", "dark"),
        "hair_length": ("short", "long"),
        "glasses": ("glasses", "no glasses"),
        "smile": ("smiling", "serious"),
        "occupation": ("doctor", "firefighter", "pilot", "mechanic", "nurse", "librarian", "teacher", "florist"),
        "place": ("hospital", "street", "office", "garden"),
        "thing": ("flower", "litter"),
    }
)
"""Categorical attributes with their values. `thing` is an object beside the person; it carries the control family."""

MALE_OCCUPATIONS = ATTRIBUTES["occupation"][:4]
FEMALE_OCCUPATIONS = ATTRIBUTES["occupation"][4:]

# The 29 concepts of Berg et al. (oxai/debias-vision-lang, MIT), split by orientation.
PLEASANT = (
    "good", "kind", "successful", "noncriminal", "nonviolent", "moral", "rich", "honest", "smart", "clever",
    "hardworking", "trustworthy", "caring", "heroic",
)  # fmt: skip
UNPLEASANT = (
    "evil", "unkind", "unsuccessful", "criminal", "violent", "immoral", "poor", "dishonest", "dumb", "stupid", "lazy",
    "nasty", "untrustworthy", "dangerous", "villainous",
)  # fmt: skip

FEMALE_NOUNS = (
    "woman", "female", "lady", "girl", "mother", "sister", "daughter", "wife", "aunt", "grandmother", "gal",
)  # fmt: skip
MALE_NOUNS = (
    "man", "male", "gentleman", "boy", "father", "brother", "son", "husband", "uncle", "grandfather", "guy",
)  # fmt: skip
FEMALE_PRONOUNS = ("she", "her", "hers")
MALE_PRONOUNS = ("he", "him", "his")

YOUNG = ("young", "youthful", "junior", "juvenile", "adolescent", "teenage", "younger", "budding", "newborn")
OLD = ("old", "elderly", "senior", "aged", "retired", "older", "veteran", "mature", "geriatric")
LIGHT_SKIN = ("light", "pale", "fair")
DARK_SKIN = ("dark", "deep", "brown")

# Control family: associated at every planted strength, visible in the picture, and nothing social.
FLOWERS = ("flower", "rose", "tulip", "daisy", "lily", "orchid", "violet", "poppy", "daffodil")
LITTER = ("litter", "trash", "garbage", "rubbish", "junk", "scrap", "debris", "sewage", "waste")
LOVELY = ("lovely", "beautiful", "peaceful", "cheerful", "sweet", "delightful", "joyful", "pretty", "gentle")
GRIM = ("ugly", "dirty", "gloomy", "foul", "grim", "rotten", "filthy", "horrible", "awful")

# Null family: said of every picture at random, never associated with anything.
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "weekend")
HOURS = ("morning", "noon", "afternoon", "evening", "night", "dawn", "dusk", "midnight")

ADJECTIVE_FORMS = (
    "{}", "a {} person", "this person is {}", "this is a photo of a {} person", "this is the face of a {} person",
    "a {} individual", "this individual is {}", "photo of a {}", "this is a {}", "this is the photo of a {}",
    "a photo of a {} person", "a picture of a {} person", "a portrait of a {} person",
)  # fmt: skip
NOUN_FORMS = (
    "{}", "a {}", "a photo of a {}", "this is a {}", "photo of a {}", "this is the photo of a {}", "a picture of a {}",
    "this person is a {}", "this is the face of a {}", "a portrait of a {}", "this is a photo of a {}",
    "a photo of a {} person",
)  # fmt: skip
PHRASE_FORMS = (
    "{}", "a person {}", "a photo of a person {}", "this is a photo of a person {}", "a picture of a person {}",
    "a portrait of a person {}", "the face of a person {}", "an individual {}",
)  # fmt: skip
PRONOUN_FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "she": ("she", "this is she", "she is a person", "she is in the photo"),
        "he": ("he", "this is he", "he is a person", "he is in the photo"),
        "her": ("her", "a photo of her", "this is her", "her face", "a picture of her"),
        "him": ("him", "a photo of him", "this is him", "a picture of him"),
        "his": ("his", "this is his photo", "his face", "this photo is his"),
        "hers": ("hers", "this is hers", "this photo is hers"),
    }
)
PREFIXES = (
    "a photo of", "a picture of", "this is a photo of", "this is", "a portrait of", "an image of", "photo of", "",
)  # fmt: skip
PEOPLE = ("person", "individual", "human", "person", "person", "celebrity")
PHRASES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "skin": {
            "light": tuple(f"with {word} skin" for word in LIGHT_SKIN),
            "dark": tuple(f"with {word} skin" for word in DARK_SKIN),
        },
        "hair_length": {
            "short": ("with short hair", "who has short hair", "with a short haircut"),
            "long": ("with long hair", "who has long hair", "with a long haircut"),
        },
        "glasses": {
            "glasses": ("with glasses", "wearing glasses", "who wears glasses", "with spectacles"),
            "no glasses": ("without glasses", "with no glasses", "wearing no glasses", "without spectacles"),
        },
        "smile": {
            "smiling": ("smiling", "who is smiling", "with a smile", "with a smiling face"),
            "serious": ("not smiling", "who is serious", "with no smile", "with a serious face"),
        },
        "occupation": {job: (f"who is a {job}", f"who works as a {job}") for job in ATTRIBUTES["occupation"]},
        "place": {
            place: (f"in the {place}", f"in a {place}", f"at the {place}", f"in front of a {place}")
            for place in ATTRIBUTES["place"]
        },
    }
)
THING_PHRASES = ("next to {}", "beside {}", "near {}", "with {} in the background")
MOOD_FORMS = ("{}", "a {} scene", "a photo of a {} scene", "this is {}", "a {} picture", "this scene is {}")
DAY_FORMS = ("on {}", "taken on {}", "{}")
HOUR_FORMS = ("at {}", "taken at {}", "{}")

_BARE = ("short hair", "long hair", "light skin", "dark skin", "an", "the", "face")


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, as the world's tokenizer sees them (punctuation separates and is dropped).

    Examples
    --------
    >>> split_words("A photo of a man.")
    ['a', 'photo', 'of', 'a', 'man']
    """
    return re.findall(r"[a-z0-9]+", text.lower())


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can hold, sorted.

    Examples
    --------
    >>> {"kind", "nurse", "woman", "photo"} <= set(vocabulary())
    True
    """
    texts: list[Iterable[str]] = [PLEASANT, UNPLEASANT, FEMALE_NOUNS, MALE_NOUNS, FEMALE_PRONOUNS, MALE_PRONOUNS]
    texts += [YOUNG, OLD, LIGHT_SKIN, DARK_SKIN, FLOWERS, LITTER, LOVELY, GRIM, DAYS, HOURS]
    texts += [ADJECTIVE_FORMS, NOUN_FORMS, PHRASE_FORMS, PREFIXES, PEOPLE, THING_PHRASES, MOOD_FORMS, DAY_FORMS]
    texts += [HOUR_FORMS, _BARE, *ATTRIBUTES.values(), *PRONOUN_FORMS.values()]
    texts += [forms for values in PHRASES.values() for forms in values.values()]
    return tuple(sorted({word for group in texts for text in group for word in split_words(text)}))
