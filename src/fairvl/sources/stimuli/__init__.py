"""Registries of association tests: which stimuli meet in which test, in four orders of modalities.

``load_registry("eat26")`` gives the 26 tests of the 131-encoder study, ``load_registry("my.toml")`` your own::

    id = "mine"
    version = 1
    source = "who chose the stimuli"         # required, as is the licence
    licence = "CC0-1.0"
    orientation = "positive d: women are nearer to pleasant"    # optional, as are name and note

    [attributes]                             # the pairs (a, b) of all tests; a test may bring its own
    text = ["pleasant", "unpleasant"]
    image = ["lakes", "fires"]

    [sets.women]                             # text: a set of a shipped bank, or of a .toml bank beside this file
    bank = "core-words:women"
    without = ["a photo of a girl"]          # sentences that are left out

    [sets.men]
    bank = "core-words:men"
    without = ["a photo of a boy"]

    [sets.pleasant]                          # text: words in templates ({} the word, {a} an article, {s} its plural)
    words = ["good", "kind"]
    templates = ["a photo of {a} {} person"]

    [sets.unpleasant]
    texts = ["an evil person", "an unkind one"]     # text: sentences as they stand

    [sets."pictures of women"]               # pictures: portraits of the built-in world
    world = "n=8&seed=7&size=48"             # n is the number of pictures; options as in world:portraits, bias 0
    where = { gender = "female", smile = "serious" }     # what all of them show; `age_group`, `skin`, ... as well

    [sets."pictures of men"]
    world = "n=8&seed=8&size=48"
    where = { gender = "male", smile = "serious" }

    [sets.lakes]                             # pictures: your own copies by MANIFEST:SET, with a free stand-in
    images = "oasis:pleasant"                # a shipped manifest, or "mine.toml:lakes" beside this file
    drawn = "pleasant?n=10&seed=0"           # flower, insect, instrument, weapon, pleasant, unpleasant; or world
    emoji = { rainbow = "1f308" }            # a second stand-in: code points of noto-emoji, with emoji=FOLDER

    [sets.fires]
    drawn = "unpleasant?n=10"

    [[tests]]
    name = "gender"
    topic = "Gender"                         # default: the name
    category = "social"                      # default; or "control"
    text = ["women", "men"]                  # the targets (x, y) as text, as pictures, or both
    image = ["pictures of women", "pictures of men"]
    orders = ["text-text", "image-text"]     # default: every order that the sets allow
    attributes = { text = ["pleasant", "unpleasant"] }   # default: those above

    [[flags]]                                # attribute stimuli that say what the targets are
    set = "unpleasant"
    stimuli = ["an evil person"]             # base words, whole sentences, or file names
    says = "names a person"
    topics = ["Gender"]                      # default: all

Two sets of the world with one seed show the same scenes but for `where`; with two seeds they are independent draws.
Where `images` is given, `world`, `drawn` and `emoji` are stand-ins: their cases are marked `stand_in`, and a pair of
sets (x and y, a and b) is never half real. Without `images` they are the stimuli themselves.

Names of unknown keys, sets, banks and values raise BankError; pictures that disagree with a manifest, DatasetError.

A manifest of pictures (``mine.toml``) says source, licence and per set: `folders` below the user's ``images=`` folder
(first match wins), and either `files` (names, with or without suffix, each with an optional `sha256`) or a `count`::

    source = "where they come from"
    licence = "their terms"

    [sets.lakes]
    folders = ["lakes", "."]                # "." is the folder itself
    files = ["Lake 1", { name = "Lake 2", sha256 = "<64 hex digits>" }]

Hashes of the published pictures are not known to us, since we hold no copy. ``stimuli_manifest(FOLDER)`` writes the
hashes of your own copies to ``FOLDER/stimuli.toml``, and every later load is held against them.
"""

from .linting import RegistryFinding as RegistryFinding
from .linting import lint_registry as lint_registry
from .manifests import stimuli_manifest as stimuli_manifest
from .reading import list_registries as list_registries
from .reading import load_registry as load_registry
from .registry import ORDERS as ORDERS
from .registry import Case as Case
from .registry import Registry as Registry
from .registry import StimulusSet as StimulusSet
from .registry import image_key as image_key
from .registry import text_key as text_key

__all__ = [
    "ORDERS",
    "Case",
    "Registry",
    "RegistryFinding",
    "StimulusSet",
    "image_key",
    "lint_registry",
    "list_registries",
    "load_registry",
    "stimuli_manifest",
    "text_key",
]
