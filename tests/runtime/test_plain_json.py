"""JSON that is read from the package's own files."""

import pytest

from fcn_jax.runtime.messages import LONGEST, shortened, shown
from fcn_jax.runtime.plain_json import DEEPEST, parse


def test_plain_values_are_read():
    """Oracle: Python's literals."""
    text = '{"a": [1, -2.5, null, true, "\\u00e9"], "b": {"c": {}}}'
    assert parse(text.encode(), "f") == {
        "a": [1, -2.5, None, True, "é"],
        "b": {"c": {}},
    }
    assert parse("9223372036854775807", "f") == 2**63 - 1
    deep = "[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1)
    assert str(parse(deep, "f")) == deep


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON: Expecting value, line 1, column 1"),
        (b'{"a": 1', "line 1, column 8"),
        (b"\xff\x00", "is no text|no JSON"),
        (b'{"a": "\xe9"}', "byte 7 is not UTF-8"),
        (b"NaN", "not finite"),
        (b'{"a": {"b": [1, -Infinity]}}', "'a.b' is a number that is not finite"),
        (b"[1e999]", "not finite"),
        (b'{"a": 9223372036854775808}', "'a' is a number that is beyond 64 bits"),
        (b"9" * 5000, "number of too many digits"),
        (b"[" * DEEPEST + b"1" + b"]" * DEEPEST, "more than 32 levels"),
        (b"[" * 100_000, "more than 32 levels"),
        (b'{"\\u001b[31m": 1}', "has the key '.x1b.31m'"),
        (b'{"' + b"k" * 300 + b'": 1}', "has the key 'kkk.*[.][.][.].*k'$"),
    ],
)
def test_what_no_file_of_ours_holds_is_one_sentence(content, words):
    """Oracle: the sentence names the file and the place, and can be printed."""
    with pytest.raises(ValueError, match=words) as caught:
        parse(content, "runs/x/config.json")
    sentence = str(caught.value)
    assert sentence.startswith("runs/x/config.json")
    assert sentence.isprintable()
    assert len(sentence) < 300


def test_values_are_shown_short_and_printable():
    """Oracle: by hand, and the two bounds."""
    assert shown(3) == "3"
    assert shown(("a", 1)) == "('a', 1)"
    assert shown("\x1b[31m\n") == "'\\x1b[31m\\n'"
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    many = {str(index): "x" * 10_000 for index in range(10_000)}
    for value in (
        "y" * 10**7,
        b"\x00\xff" * 10**6,
        nested,
        many,
        10**4000,
        "é\x85" * 999,
    ):
        text = shown(value)
        assert text.isprintable()
        assert len(text) <= 2 * LONGEST
    assert shortened("abc", 400) == "abc"
    assert shortened("a" * 200 + "b" * 300, 400) == "a" * 200 + " ... " + "b" * 200
