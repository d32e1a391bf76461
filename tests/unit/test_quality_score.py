"""The quality analyser tells apart what a person would, in many languages, and no cheap trick fools it."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.cli import main
from router.quality import QualityScore, score_call
from router.quality.language import is_noise
from router.quality.reading import LOOKED_AT, Kind, read

PROMPT = (
    "Explain why the sky is blue during the day but red at sunset, in a few sentences for a curious child."
)
GOOD = (
    "Sunlight looks white, but it is really a mixture of all colours. When it travels through the air it "
    "bumps into tiny molecules of gas, and these scatter blue light far more strongly than red. That is why "
    "blue reaches your eyes from every direction at noon.\n\n"
    "In the evening the Sun stands low, so its light has to cross much more air before you see it. Most of "
    "the blue has been scattered away on that long journey, and mainly the warm oranges and reds are left "
    "over for the sunset."
)
CODE = """```python
def binary_search(values, wanted):
    low, high = 0, len(values) - 1
    while low <= high:
        middle = (low + high) // 2
        if values[middle] == wanted:
            return middle
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return None
```
The list must be sorted. Each step halves what is left, so a million entries need about twenty comparisons."""
FIRST = ["snow", "rain", "sand", "fire", "moon", "star", "wind", "water", "stone", "wood", "gold", "iron"]
SECOND = ["fall", "storm", "field", "bird", "land", "mill", "work", "house", "man", "ball", "way", "stick"]
NOUNS = [first + second for first in FIRST for second in SECOND]
HUMAN_RIGHTS: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "golden" / "human_rights.json").read_text("utf-8")
)
"""Beginning of article 1 of the Universal Declaration of Human Rights."""
SAME = {"he": ("iw",), "id": ("ms",)}
"""Names that CLD2 gives to a language: its old one, or that of one hardly different."""


def total(answer: str, prompt: str = PROMPT) -> int:
    return score_call(prompt, answer).total


def gibberish(words: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(words))


def test_a_good_answer_scores_high_and_a_poor_one_low() -> None:
    assert total(GOOD) >= 80
    assert total("Because of the air.") < 60
    assert total(GOOD) > total(GOOD.partition("\n")[0]) > total("It is blue because of light.")


@pytest.mark.parametrize(
    "answer",
    ["<no output>", "", " \n ", "?!…", "\u200b\u200d", PROMPT, PROMPT * 20, gibberish(200)],
    ids=["placeholder", "empty", "blank", "marks", "invisible", "echo", "echoes", "gibberish"],
)
def test_an_answer_that_says_nothing_scores_nothing(answer: str) -> None:
    score = score_call(PROMPT, answer)
    assert score.total == 0
    assert score.parts.depth == score.parts.flow == score.parts.engagement == score.parts.creative == 0


@pytest.mark.parametrize("code", HUMAN_RIGHTS)
def test_no_language_is_taken_for_noise(code: str) -> None:
    reading = read(HUMAN_RIGHTS[code])
    assert reading.share(Kind.NOISE) == 0
    assert reading.language.code.partition("-")[0] in (code, *SAME.get(code, ()))


@pytest.mark.parametrize("code", HUMAN_RIGHTS)
def test_the_same_text_scores_alike_in_every_language(code: str) -> None:
    english = score_call("rights", HUMAN_RIGHTS["en"]).parts.weighted()
    assert abs(score_call("rights", HUMAN_RIGHTS[code]).parts.weighted() - english) < 20


@pytest.mark.parametrize("seed", range(8))
def test_random_letters_are_noise(seed: int) -> None:
    assert is_noise(gibberish(40, seed))


def test_code_is_no_noise() -> None:
    score = score_call("Write binary search in Python and say when it may be used.", CODE)
    assert read(CODE).share(Kind.NOISE) == 0
    assert score.total >= 60


def test_letters_that_look_alike_do_not_hide_a_repetition() -> None:
    invisible = "".join(char + "\u200b" for char in GOOD)
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in GOOD)
    assert total(f"{GOOD}\n{invisible}") <= total(GOOD)
    assert total(wide) == total(invisible) == total(GOOD)
    assert total(f"{GOOD}\n{wide}") <= total(GOOD)
    assert total(f"{GOOD}\n{GOOD.replace('a', 'а').replace('e', 'е').replace('o', 'о')}") <= total(
        GOOD
    )  # Cyrillic


def test_characters_drawn_at_random_are_noise_too() -> None:
    rng = random.Random(2)
    assert is_noise("".join(chr(rng.randint(0x4E00, 0x9FA5)) for _ in range(80)))
    assert not is_noise(
        "北京、上海、广州、深圳、成都、杭州、重庆、西安、苏州、武汉、南京、天津、郑州、长沙、东莞、佛山" * 2
    )


def made_up(rng: random.Random) -> str:
    """A word that can be spoken and means nothing."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))


def nonsense(sentences: int, seed: int = 1, word: Callable[[random.Random], str] = made_up) -> list[str]:
    """Sentences of made-up words with function words between them."""
    rng = random.Random(seed)
    return [f"The {word(rng)} is {word(rng)} of the {word(rng)}." for _ in range(sentences)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("word", [made_up, lambda rng: gibberish(1, rng.randint(0, 10**6))])
def test_function_words_do_not_make_language_of_noise(
    word: Callable[[random.Random], str], seed: int
) -> None:
    sentences = nonsense(60, seed, word)
    assert total(" ".join(sentences)) < 40
    assert read(" ".join(sentences[:8])).share(Kind.NOISE) == 1
    assert total(f"{GOOD} {' '.join(sentences)}") < total(GOOD) - 20
    assert total(f"{GOOD} {' '.join(sentences[:5])}") < total(GOOD)
    own = GOOD.replace("\n\n", " ").split(". ")
    between = zip(own, sentences, strict=False)
    assert total(" ".join(f"{one}. {other}" for one, other in between)) < total(GOOD)


def test_names_are_no_noise() -> None:
    shoes = (
        "Shondra has 7 fewer plants than Toni. Toni has 60% more plants than Frederick. If Frederick has 10"
    )
    assert read(f"{shoes} plants, how many plants does Shondra have?").share(Kind.NOISE) == 0
    books = (
        "1. Santa Claus by Rudyard Kipling\n2. A Christmas Carol by Charles Dickens\n3. Frosty by Dr. Seuss"
    )
    assert read(books).share(Kind.NOISE) == 0
    towns = "The best towns are Paris, Lyon, Marseille, Nice, Toulouse, Dijon, Strasbourg and Montpellier."
    assert read(towns).share(Kind.NOISE) == 0


@pytest.mark.parametrize("between", [" ", ", ", ". ", "\n- ", "\n1. "], ids=ascii)
def test_a_heap_of_words_lowers_the_score(between: str) -> None:
    heap = between.join(random.Random(3).sample(NOUNS, len(NOUNS)))
    assert total(f"{GOOD}\n\n{heap}") < total(GOOD)
    assert total(heap) < 60


def test_prose_of_a_language_without_known_function_words_is_no_heap() -> None:
    icelandic = (
        "Reykjavík er höfuðborg Íslands og stærsta borg landsins. Þar búa rúmlega hundrað og þrjátíu þúsund "
        "manns. Borgin stendur við Faxaflóa á suðvesturhorni landsins. Fyrstu landnámsmennirnir settust þar "
        "að á níundu öld. Nú er hún miðstöð stjórnsýslu, menningar og viðskipta í landinu og þangað koma "
        "margir ferðamenn á hverju ári til að sjá norðurljósin."
    )
    assert read(icelandic).share(Kind.NEW) == 1


def test_a_heap_of_numbers_says_little() -> None:
    assert total(" ".join(map(str, range(300)))) < 40


def test_the_words_of_the_prompt_in_another_order_say_nothing() -> None:
    words = PROMPT.split()
    stuffed = " ".join(" ".join(random.Random(at).sample(words, len(words))) for at in range(5))
    assert total(stuffed) < 40
    assert total(f"{GOOD}\n{stuffed}") <= total(GOOD)


def test_numbering_a_repetition_does_not_hide_it() -> None:
    line = "Remember to look at the sky carefully every single day."
    assert total(GOOD + "".join(f"\n{at}. {line}" for at in range(2, 60))) <= total(f"{GOOD}\n1. {line}")


def test_numbered_repetitions_and_repeated_short_lines_are_seen() -> None:
    assert read("\n".join(f"Fact {number} is true" for number in range(10, 60))).counts[Kind.NEW] == 4
    assert read("Pen\nRuler\nPen\nPen\nRuler").counts[Kind.NEW] == 2
    assert read("| 3 | 17 | 20 | 4 | 31 | 8 | 15 | 16 |").counts[Kind.NEW] == 8


def test_the_end_of_an_echo_is_no_end_of_the_answer() -> None:
    unfinished = GOOD.removesuffix(".")
    assert score_call(PROMPT, unfinished).parts.flow < score_call(PROMPT, GOOD).parts.flow
    echoed = score_call(PROMPT, f"{unfinished} {PROMPT}")
    assert echoed.parts.flow <= score_call(PROMPT, unfinished).parts.flow


def test_what_an_earlier_turn_said_counts_once() -> None:
    turns = [{"role": "user", "content": PROMPT}]
    again = [*turns, {"role": "assistant", "content": GOOD}, {"role": "user", "content": "Tell me more."}]
    assert score_call(turns, GOOD) == score_call(PROMPT, GOOD)
    assert score_call(again, GOOD).total == 0


def test_parts_of_a_message_that_are_no_text_are_passed_over() -> None:
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert score_call([{"role": "user", "content": content}], GOOD) == score_call(PROMPT, GOOD)
    assert isinstance(score_call([{"role": "user", "content": None}], GOOD), QualityScore)
    assert isinstance(score_call([], GOOD), QualityScore)


def test_a_prompt_that_says_more_is_clearer() -> None:
    vague, clear = score_call("Sky?", GOOD), score_call(PROMPT, GOOD)
    assert vague.parts.clarity < 50 < clear.parts.clarity
    assert score_call("Sky? " * 50, GOOD).parts.clarity <= vague.parts.clarity


def test_only_the_beginning_of_a_huge_answer_is_read() -> None:
    words = " ".join(f"{number}" for number in range(10**6))
    assert len("".join(passage.text for passage in read(words).kept)) <= LOOKED_AT


def run(body: str, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["quality", "score", *options], input=body)
    return result.exit_code, result.output


def test_the_command_prints_parts_and_advice() -> None:
    code, output = run(json.dumps({"prompt": PROMPT, "answer": f"{PROMPT} Because."}))
    assert code == 0
    assert output.startswith("0 of 100") or " of 100" in output
    assert "depth" in output
    assert "The answer adds little to the prompt" in output
    assert "repeat what was said before" in output


def test_the_command_prints_json() -> None:
    code, output = run(
        json.dumps({"messages": [{"role": "user", "content": PROMPT}], "answer": GOOD}), "--json"
    )
    found = json.loads(output)
    assert code == 0
    assert found["total"] == total(GOOD)
    assert set(found["parts"]) == {"clarity", "depth", "flow", "engagement", "creative"}
    assert found["advice"] == []


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        '{"answer": "a"}',
        '{"prompt": "secret", "messages": [{}], "answer": "a"}',
        '{"prompt": "secret"}',
    ],
    ids=["no-json", "no-prompt", "both", "no-answer"],
)
def test_the_command_says_what_is_missing_and_quotes_nothing(body: str) -> None:
    code, output = run(body)
    assert code == 1
    assert output.startswith("Error: ")
    assert "secret" not in output
