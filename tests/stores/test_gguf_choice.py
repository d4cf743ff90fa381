"""Which file of a repository is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.stores.gguf_choice import ChoiceError, NoChoiceError, choose, models, preferred

FILES = ["m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0.gguf", "m-BF16.gguf", "m-IQ4_XS.gguf"]
PARTS = ["big/m-Q6_K-00001-of-00002.gguf", "big/m-Q6_K-00002-of-00002.gguf"]
OTHERS = ["mmproj-F16.gguf", "m.mmproj-Q8_0.gguf", "m.imatrix.gguf", "mtp-m-Q4_K_M.gguf", "a.txt"]


@pytest.mark.parametrize(
    ("names", "chosen", "file"),
    [
        (FILES, "", "m-Q4_K_M.gguf"),
        (FILES[1:], "", "m-Q8_0.gguf"),
        (["m-Q5_K_M.gguf", *OTHERS], "", "m-Q5_K_M.gguf"),
        (FILES + OTHERS, "q4_k_s", "m-Q4_K_S.gguf"),
        (FILES + PARTS, "Q6_K", PARTS[0]),
        (PARTS, "", PARTS[0]),
        (FILES, "m-BF16.gguf", "m-BF16.gguf"),
        (FILES + PARTS, "m-Q6_K-00001-of-00002.gguf", PARTS[0]),
        (["Q8_0/m.gguf", "Q4_0/m.gguf"], "Q8_0", "Q8_0/m.gguf"),
        (["m.q8_0.gguf", "m.q8_0_long.gguf"], "Q8_0", "m.q8_0.gguf"),
    ],
)
def test_the_file_that_is_meant(names: list[str], chosen: str, file: str) -> None:
    assert choose(names, chosen) == file


@pytest.mark.parametrize(
    ("names", "chosen", "message"),
    [
        (FILES, "F16", "no F16"),  # BF16 is another one
        (FILES, "Q4_K", "no Q4_K;"),  # and so are its kinds
        (FILES, "Q4_XS", "no Q4_XS"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "several files of Q8_0"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "", "several models"),
        (["a-Q5_0.gguf", "b-Q6_K.gguf"], "", "several models"),
        (OTHERS, "", "no GGUF model"),
        (OTHERS, "mmproj-F16.gguf", "only goes with a model"),
        (PARTS, "m-Q6_K-00002-of-00002.gguf", "name the first one, m-Q6_K-00001-of-00002.gguf"),
        (["x/a.gguf", "y/a.gguf"], "a.gguf", "several files of a.gguf"),
    ],
)
def test_what_is_not_meant_is_said(names: list[str], chosen: str, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        choose(names, chosen)


@given(st.sets(st.sampled_from([*FILES, *PARTS, *OTHERS])), st.data())
def test_more_files_do_not_change_what_a_part_of_them_was_enough_for(
    names: set[str], data: st.DataObject
) -> None:
    """So that the cache, which has a part of them, may answer without the hub."""
    every = [*FILES, *PARTS, *OTHERS]
    chosen = data.draw(st.sampled_from(["", "Q4_K_M", "Q8_0", "Q6_K", "m-BF16.gguf"]))
    try:
        found = choose([*names], chosen) if chosen else preferred(names)
    except NoChoiceError:
        return
    assert found is None or found == choose(every, chosen)


@given(st.sets(st.sampled_from([*FILES, *PARTS])), st.sampled_from(["", "Q8_0", "Q6_K"]))
def test_what_the_hub_chose_is_what_the_cache_has(names: set[str], chosen: str) -> None:
    """After a fetch the cache alone leads to the same file."""
    try:
        found = choose([*names], chosen)
    except ChoiceError:
        return
    there = {found, *(name for name in names if Path(name).suffix == ".txt")}
    assert choose([*there], chosen) == found
    assert models(names).count(found) == 1
