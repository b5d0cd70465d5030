"""YAML and JSON from outside."""

from __future__ import annotations

import datetime

import pytest

from robustbench_sdnet.errors import CheckpointError, InputError
from robustbench_sdnet.reading.structured import (
    LONGEST,
    mapping,
    parse_json,
    parse_yaml,
    read_json,
    read_yaml,
)


def test_plain_values_are_read(tmp_path):
    assert parse_yaml("a: [1, 2.5, x, true, null]\nb: &c {d: 2020-01-02}\ne: *c", "r") == {
        "a": [1, 2.5, "x", True, None],
        "b": {"d": datetime.date(2020, 1, 2)},
        "e": {"d": datetime.date(2020, 1, 2)},
    }
    assert parse_yaml("", "r") is None
    (tmp_path / "a").write_text("[1]")
    assert read_yaml(tmp_path / "a") == read_json(tmp_path / "a") == [1]


def test_numbers_are_decimal_as_one_writes_them():
    """YAML 1.1 takes 012 for 10, 1:30 for 90, and 1:30.5 for 90.5."""
    assert parse_yaml("[012, -010, 00, 1:30, 1:30.5, 0x10, 0b11, 1_000, -7, +7, 0, 01.5]", "r") == [
        *("012", "-010", "00", "1:30", "1:30.5"),
        *(16, 3, 1000, -7, 7, 0, 1.5),
    ]


HOSTILE_YAML = {
    "date": "a: 2020-13-45",
    "int": "a: !!int x",
    "no digits": "a: !!int",
    "float": "a: !!float x",
    "bool": "a: !!bool x",
    "timestamp": "a: !!timestamp x",
    "hex": "a: 0x_",
    "binary": "a: 0b_",
    "digits": "a: " + "9" * 5000,
    "object": "a: !!python/object/apply:os.system [ls]",
    "deep": "[" * 3000,
    "deep closed": "[" * 100 + "]" * 100,
    "key": "{[1]: 2}",
    "two documents": "a: 1\n---\nb: 2",
    "open": "a: [1",
    "tab": "a:\n\t- 1",
    "unknown alias": "a: *b",
    "itself": "&a [*a]",
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + k)}: &{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(8)),
    "control": "a: \x07",
    "long": "a" * (LONGEST + 1),
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml_is_one_line(name):
    with pytest.raises(CheckpointError, match=r"^my\.yaml is ") as caught:
        parse_yaml(HOSTILE_YAML[name], "my.yaml", CheckpointError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_place_is_named():
    with pytest.raises(InputError, match=r"r is not valid YAML at line 3, column 4: 'x' is not a valid int"):
        parse_yaml("a: 1\nb: 2\nc: !!int x", "r")
    with pytest.raises(InputError, match=r"r is not valid YAML at line 2, column 11: 'lr' is given twice"):
        parse_yaml("train:\n  {lr: 1, lr: 2}", "r")
    with pytest.raises(InputError, match=r"r is not valid JSON at line 2, column 6"):
        parse_json('{"a":\n "b" 1}', "r")


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, "NaN", "[1e, 2]", "9" * 5000, b"\xff\xfe\xff", "", '"\x07"']
)
def test_hostile_json_is_one_line(text):
    with pytest.raises(InputError, match=r"^r is not valid JSON"):
        parse_json(text, "r")


def test_a_mapping_is_asked_for():
    assert mapping(None, "x") == {}
    for value in ([1], "hello", 3, {1: 2}):
        with pytest.raises(InputError, match="x must be a mapping"):
            mapping(value, "x")
