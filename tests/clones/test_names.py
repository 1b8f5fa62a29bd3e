"""Public names: cleaned and bounded, and equal to whatever could be taken for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clones.names import public_name, skeletons
from clash_pipeline.clones.refusals import ProfileInvalid


def are_alike(first: str, second: str) -> bool:
    """As `public_profiles` decides it: one skeleton in common is enough."""
    return any(mine == other for mine, other in zip(_skeletons(first), _skeletons(second), strict=True))


def _skeletons(name: str) -> tuple[str, str]:
    return skeletons(public_name(name))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Tide", "tide"),
        ("Tide", "Tіdе"),  # Cyrillic і, е
        ("BANK", "ΒΑΝΚ"),  # Greek capitals
        ("Alpha", "αlρha"),  # Greek small
        ("НЕТ", "нет"),  # case of another script
        ("ГОД", "год"),  # whose capitals resemble other letters than its small ones
        ("Tide", "Ｔｉｄｅ"),  # full width
        ("Tide", "𝓣𝓲𝓭𝓮"),  # mathematical script
        ("fish", "ﬁsh"),  # ligature
        ("Ill", "lll"),
        ("IVY", "ivy"),
        ("PayPal", "PayPa1"),
        ("Zero", "Zer0"),
        ("modern", "modem"),
        ("Tide", "Ti\u200bde"),  # zero width
        ("Tide", "Ti\u202ede"),  # bidi override
        ("Tide Runner", "Tide  Runner"),
        ("Tide Runner", "TideRunner"),
        ("bank", "ʙank"),  # small capital
        ("straße", "STRASSE"),
        ("é", "é"),  # composed and not
    ],
)
def test_names_that_could_be_taken_for_each_other(name: str, other: str) -> None:
    assert are_alike(name, other)


@pytest.mark.parametrize(
    ("name", "other"), [("Tide", "Tidal"), ("Ebb", "Flow"), ("Tide 1", "Tide 2"), ("Alpha", "Alfa"), ("год", "roд2")]
)
def test_names_that_nobody_mistakes(name: str, other: str) -> None:
    assert not are_alike(name, other)


def test_control_equal_text_alone_would_not_find_a_lookalike() -> None:
    assert public_name("Tіde").casefold() != public_name("Tide").casefold()
    assert are_alike("Tіde", "Tide")


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [("  Tide\n Runner ", "Tide Runner"), ("Ti\u200bde", "Tide"), ("x" * 32, "x" * 32), ("潮 7", "潮 7")],
)
def test_a_name_is_stored_clean(given_name: str, stored: str) -> None:
    assert public_name(given_name) == stored


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "needs a letter or a digit"),
        (" \u200b\u202e\u00a0", "needs a letter or a digit"),
        ("\u0301\u0301", "needs a letter or a digit"),
        ("🚀", "needs a letter or a digit"),
        ("x" * 33, "at most 32 characters, this one has 33"),
        ("x" * 5_000, "at most 32 characters, this one has 5000"),
    ],
)
def test_what_is_no_name(bad: str, said: str) -> None:
    with pytest.raises(ProfileInvalid, match=said):
        public_name(bad)


@given(st.text(max_size=40))
def test_any_text_is_a_stable_name_or_refused(given_name: str) -> None:
    try:
        name = public_name(given_name)
    except ProfileInvalid:
        return
    assert public_name(name) == name
    assert 1 <= len(name) <= 32
    assert all(skeletons(name))


@given(st.text(st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=20))
def test_case_never_makes_another_name(name: str) -> None:
    drawn = skeletons(name)
    assert drawn.read == skeletons(name.casefold()).read
