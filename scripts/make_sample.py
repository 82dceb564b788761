"""Make the sample data set that comes with the package.

The GenSEC challenge's data cannot be passed on, so the package carries a made-up set of the same
shape. The dialogues are original fiction (``scripts/sample/ses0*.txt``); this script adds what
eleven speech recognisers could have heard of each turn. Nothing is really recognised: every error
is drawn from a seeded generator, so that the same sources give the same bytes everywhere.

Usage: ``python scripts/make_sample.py [--seed 2024] [--out ragemo/sample]``
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

SOURCES = Path(__file__).resolve().parent / "sample"
SCORED = frozenset(["hap", "sad", "neu", "ang"])
EMOTIONS = SCORED | frozenset(["fru", "exc", "sur", "fea", "dis", "oth", "xxx"])
HEADER = re.compile(r"= ((Ses\d\d)[FM]_(?:impro\d\d|script\d\d_\d)) (train|test)")
TURN = re.compile(r"([FM]) (\w+) \| (\S.*\S)")
FEWEST_TURNS, MOST_TURNS = 6, 14
SYSTEMS = {  # the word error rate that each simulated recogniser is to come near
    "hubertlarge": 0.14, "w2v2100": 0.38, "w2v2960": 0.28, "w2v2960large": 0.20,
    "w2v2960largeself": 0.12, "wavlmplus": 0.16, "whisperbase": 0.20, "whisperlarge": 0.08,
    "whispermedium": 0.10, "whispersmall": 0.13, "whispertiny": 0.28,
}  # fmt: skip
SLIPS_PER_ERROR = 0.97  # found by trial: a slip may cost two words, an insertion is no slip
UNHEARD_SHARE = 0.005  # of the utterances: no recogniser returns anything for them
FOLLOW = 0.6  # how often a system shares the common fate of a word instead of its own

# Words of a group are taken for one another (with ">": the left for the right); "_" is a space.
SOUND_ALIKES = """there their they're|your you're|too two|its it's|hear here|no know now|for four|
right write|by bye buy|one won|whole hole home|week weak|meet meat|wait weight|new knew|than then|
where were we're wear|our are hour|can can't|could couldn't|would wouldn't wood|did didn't|an>and|
and>an in|in>and on|a the|is>as it's|was>were|were>was|as>is|his>is he's|he's his|she's>she|
or>are|i'm>i_am|i'll>i|i've>i|i'd>i|we'll>we will|that's>that|at>it|gonna>going_to|it>that|this
these|not>now|with>will|from>for|on>in|so>saw|be>been|him>them|them>him|had>has|have>had|her>a
the|but>and|for>from|will>well|well>will|pair pear|bear bare|stair stare|flower flour|hair air|
heard herd|piece peace|past passed|through threw|break brake|great grate|morning mourning|coat
caught court|quiet quite|maybe>may_be|because>cause|always>all_ways"""
SMALL_WORDS = """a an the to of and in is it at i or on so as be he my me we you that's that it's
for but was were with are his her do did had has have if up just she they them him this not from"""
FILLERS = frozenset(["um", "uh", "er", "erm", "hmm"])
SOUNDS = ("aeiouy", "td", "pb", "kg", "fv", "mn")  # letters whose sounds are easily mixed up
VOICE = {letter: sounds for sounds in SOUNDS for letter in sounds}

# Spelling by ear, as "pattern:replacement". The rules of the first three lines bring a word to its
# sound; the others are further slips of recognisers that write letters.
SPELLING = r"""[^a-z]: ph:f ^kn:n ^wr:r [ts]+ion:shun ture:cher igh:y ough:uff tch:ch dge?:j ould:ud
sc(?=[eiy]):s c(?=[eiy]):s ck:k c(?!h):k qu:kw x:ks wh:w gh: mb$:m ea|ie|ey:ee ai|ei:ay oa:o
(?<!y)ou:ow au:aw ([^aeiou])\1:\1 (?<=[^aeiou])e$: (?<=[^aeiou])y$:ee
ing$:in (?<=[aeioun])ed$:d er$:a le$:el th:f ar:ah or:aw nd$:n st$:s ^h: ll$:l ee:i oo:u nt:n"""
RULES = [(re.compile(one), two) for one, two in (rule.split(":") for rule in SPELLING.split())]
SOUND_RULES = SPELLING.split().index("ing$:in")
Record = dict[str, str]


def read_sources(paths: Sequence[Path]) -> dict[str, list[Record]]:
    """Read the records of both parts, still without hypotheses; stop where the format is wrong."""
    parts: dict[str, list[Record]] = {"train": [], "test": []}
    opened: dict[str, str] = {}
    turns: Counter[str] = Counter()
    for path in paths:
        dialogue = session = split = ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            place = f"{path}:{number}"
            header, turn = HEADER.fullmatch(line), TURN.fullmatch(line)
            if header:
                dialogue, session, split = header.groups()
                if dialogue in opened:
                    raise SystemExit(f"{place}: {dialogue} is there already")
                opened[dialogue] = place
            elif turn and dialogue:
                letter, emotion, text = turn.groups()
                if emotion not in EMOTIONS:
                    raise SystemExit(f"{place}: unknown emotion code {emotion!r}")
                voice = f"{dialogue}_{letter}"
                record = {"need_prediction": "yes" if emotion in SCORED else "no"}
                record |= {"emotion": emotion, "id": f"{voice}{turns[voice]:03d}"}
                record |= {"speaker": f"{session}_{letter}", "groundtruth": text}
                parts[split].append(record)
                turns.update((voice, dialogue))
            elif line.strip():
                raise SystemExit(f"{place}: bad line {line!r}")
    for dialogue, place in opened.items():
        if not FEWEST_TURNS <= turns[dialogue] <= MOST_TURNS:
            raise SystemExit(f"{place}: {dialogue} has {turns[dialogue]} turns")
    if not opened:
        raise SystemExit(f"no dialogues in {SOURCES}")
    return parts


def plain_words(text: str) -> list[str]:
    """The words as error rates compare them: lower case, without punctuation."""
    return re.sub(r"[^\w\s]", "", text.lower().replace("-", " ")).split()


def distance(first: Sequence[str], second: Sequence[str], near: Mapping[str, str]) -> float:
    """Edit distance; a swap between two items of the same class in ``near`` costs half."""
    row = [float(column) for column in range(len(second) + 1)]
    for one in first:
        corner, row[0] = row[0], row[0] + 1
        for column, other in enumerate(second, start=1):
            alike = one in near and near[one] == near.get(other)
            swap = corner + (0.0 if one == other else 0.5 if alike else 1.0)
            corner, row[column] = row[column], min(swap, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def sound(word: str) -> str:
    """A rough phonetic spelling, for finding words that sound alike."""
    for pattern, replacement in RULES[:SOUND_RULES]:
        word = pattern.sub(replacement, word)
    return word


def choose(options: Sequence[str], draw: float) -> str:
    """An option for a draw from [0, 1), by arithmetic that no version of Python changes."""
    return options[int(draw * len(options))]


class Lexicon:
    """The real words that can be taken for a word: the groups' first, then the dialogues' own.

    Slips look real in words of the same kind of talk, so all the dialogues are the dictionary.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.groups: dict[str, list[str]] = {}
        for group in SOUND_ALIKES.replace("\n", " ").split("|"):
            left, _, right = group.partition(">")
            for word in left.split():
                others = [other for other in (right or left).split() if other != word]
                self.groups.setdefault(word, []).extend(o.replace("_", " ") for o in others)
        self.small = FILLERS.union(SMALL_WORDS.split())
        self.known = {word for text in texts for word in re.findall(r"\b[a-z]{3,}\b", text)}
        self.sounds = [(word, sound(word)) for word in sorted(self.known)]
        self.cache: dict[str, list[str]] = {}

    def nearest(self, word: str, limit: float) -> list[str]:
        """Up to three known words within ``limit`` edits per letter of sound, nearest first."""
        key, found = sound(word), []
        for other, heard in self.sounds:
            ends_alike = heard[:1] == key[:1] or heard[-2:] == key[-2:]
            if other != word and key and ends_alike and abs(len(heard) - len(key)) <= 2:
                found.append((distance(key, heard, VOICE) / len(key), other))
        return [other for apart, other in sorted(found)[:3] if apart <= limit]

    def alike(self, word: str) -> list[str]:
        """Real words, or pairs of them, that sound like the word; may be empty."""
        if word in self.cache:
            return self.cache[word]
        found = list(self.groups.get(word, []))
        if word not in self.small and "'" not in word:
            found += self.nearest(word, 0.26)
            for cut in range(3, len(word) - 2):
                if {word[:cut], word[cut:]} <= self.known and not word.startswith(("any", "some")):
                    found.append(f"{word[:cut]} {word[cut:]}")
            found = found or self.nearest(word, 0.42)
        return self.cache.setdefault(word, found)


def misspell(word: str, own: Random, edits: int) -> str:
    """Spell a word by ear, or drop or swap a letter."""
    for _ in range(edits):
        fitting = [rule for rule in RULES[1:] if rule[0].search(word)]
        place, draw, other = int(own.random() * len(word)), own.random(), own.random()
        if fitting and draw < 0.75:
            pattern, replacement = fitting[int(other * len(fitting))]
            word = pattern.sub(replacement, word, count=1) or word
        elif draw < 0.85 and len(word) > 3:
            word = word[:place] + word[place + 1 :]
        elif word[place].isalpha():
            voice = VOICE.get(word[place], word[place])
            word = word[:place] + choose(voice, other) + word[place + 1 :]
    return word


def slip(word: str, draws: Sequence[float], lexicon: Lexicon, rate: float, own: Random) -> str:
    """What a letter system writes for a word it gets wrong ("~" glues it to the next)."""
    action, pick = draws
    small, others = word in lexicon.small, lexicon.alike(word)
    if small and action < 0.4:
        return ""
    if others and action > (0.6 if small else 0.8):
        return choose(others, pick)
    if action < (0.55 if small else 0.06):
        return word + "~"
    if action < 0.14 and len(word) > 5:
        cut = 2 + int(pick * (len(word) - 4))
        return f"{word[:cut]} {word[cut:]}"
    return misspell(word, own, 1 + (own.random() < 2 * rate))


def hear(one: Record, system: str, lexicon: Lexicon, seed: int) -> str:
    """What one system makes of one utterance: letters by ear, or (Whisper) real words.

    How hard each word is, its luck and the slip that suggests itself are drawn once for all
    systems, because in life a mumbled word is hard for every one of them; each then follows that
    common fate or its own. So the better systems' mistakes are mostly among the worse ones'.
    """
    shared, own = Random(f"{seed}|{one['id']}"), Random(f"{seed}|{one['id']}|{system}")
    letters, rate = not system.startswith("whisper"), SYSTEMS[system] * SLIPS_PER_ERROR
    noise = 0.4 + 1.2 * shared.random()
    pieces: list[str] = []
    for token in one["groundtruth"].split():
        word = re.sub(r"^\W+|\W+$", "", token)
        plain, small = word.lower(), word.lower() in lexicon.small
        before, _, after = token.partition(word) if word else ("", "", token)
        hardness = noise * (1.3 if len(word) > 6 else 1.0) * 3 * shared.random() ** 2
        common, private = [[source.random() for _ in range(3)] for source in (shared, own)]
        luck, *draws = common if own.random() < FOLLOW else private
        wrong = bool(word) and luck < rate * hardness
        insertion, comma, stress = [own.random() for _ in range(3)]
        if letters:
            heard = plain.replace("-", " ")
            heard = slip(heard, draws, lexicon, rate, own) if wrong else heard
            heard = heard.rstrip("~") if after else heard
        else:
            others = lexicon.alike(plain) or ["" if small else word]
            heard = choose(others, draws[1]) if wrong else word
            dropped = wrong and draws[0] < (0.45 if small else 0.05)
            heard = "" if dropped or (plain in FILLERS and common[1] < 0.8) else heard
            after = after.replace(",", "") if comma < 0.2 else after
            after = after.replace("!", ".") if stress < 0.5 else after
            if heard or not word:
                heard = before + heard + after
            elif pieces and after and pieces[-1][-1] not in ".?!":
                pieces[-1] = pieces[-1].rstrip(",") + after
        pieces += [heard] if heard else []
        insertion /= rate * (0.06 if letters else 0.02)
        fillers = ("uh", "a", "the", "and") if letters else ("so", "and")
        pieces += [choose(fillers, insertion)] if insertion < 1 else []
    fate, extent = own.random() / rate, own.random()
    if fate < 0.015:
        return ""
    if letters:
        return " ".join(pieces).replace("~ ", "").rstrip("~")
    if fate < 0.2 and len(pieces) > 4:  # the end is cut off, or else repeated, or made up
        pieces = pieces[: int(len(pieces) * (0.6 + 0.35 * extent))]
    elif fate < 0.23:
        pieces += pieces[-2 - int(extent * 4) :]
    elif fate < 0.26:
        pieces.append(choose(("Thank you.", "Thanks for watching.", "Bye."), extent))
    text = re.sub(r"\bi\b", "I", " ".join(pieces))
    return re.sub(r"(?:^|[.?!] )[a-z]", lambda start: start[0].upper(), re.sub(r",$", ".", text))


def choose_unheard(parts: Mapping[str, Sequence[Record]], seed: int) -> set[str]:
    """The few utterances that no system hears: scored ones, and short if possible.

    No emotion is taken twice, so that a program which learns from the training part what an empty
    utterance means is wrong about those of the test part.
    """
    chosen: dict[str, str] = {}
    for part in (parts["test"], parts["train"]):
        keys = {one["id"]: Random(f"{seed}|{one['id']}|unheard").random() for one in part}
        wanted = max(1, round(UNHEARD_SHARE * len(part)))
        for one in sorted(part, key=lambda one: (len(one["groundtruth"]) > 40, keys[one["id"]])):
            if wanted and one["emotion"] in SCORED - chosen.keys():
                chosen[one["emotion"]] = one["id"]
                wanted -= 1
    return set(chosen.values())


def main() -> None:
    """Write both parts, and print how well each simulated system did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--out", type=Path, default=Path("ragemo/sample"))
    arguments = parser.parse_args()
    parts = read_sources(sorted(SOURCES.glob("ses0*.txt")))
    lexicon = Lexicon([one["groundtruth"] for part in parts.values() for one in part])
    unheard = choose_unheard(parts, arguments.seed)
    errors: Counter[str] = Counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, part in parts.items():
        for one in part:
            reference = plain_words(one["groundtruth"])
            errors["length"] += len(reference)
            for system in SYSTEMS:
                heard = hear(one, system, lexicon, arguments.seed)
                one[system] = "" if one["id"] in unheard else heard
                errors[system] += int(distance(reference, plain_words(one[system]), {}))
                errors[f"{system} empty"] += not one[system]
        content = json.dumps(part, indent=1, ensure_ascii=False) + "\n"
        (arguments.out / f"{split}.json").write_bytes(content.encode("utf-8"))
        print(f"{split}: {len(part)} utterances")
    print("heard by none:", *sorted(unheard))
    for system, target in SYSTEMS.items():
        measured, empty = errors[system] / errors["length"], errors[f"{system} empty"]
        print(f"{system:<17} error rate {measured:.3f} (target {target:.2f}), {empty} empty")


if __name__ == "__main__":
    main()
