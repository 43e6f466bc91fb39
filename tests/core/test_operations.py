"""The operator's words survive their journey as JSON, and a word of another version is refused, never read in part."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from twinleg.core.operations import Answer, Asked, Pause, Resume, declined


def test_every_word_has_its_own_name() -> None:
    names = [word.__struct_config__.tag for word in (*get_args(Asked), *get_args(Answer))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("asked", [Pause(), Resume(reason="looked", trades=("T000001",), all_halted=False)])
def test_a_request_comes_back_as_it_was(asked: Asked) -> None:
    assert msgspec.json.decode(msgspec.json.encode(asked), type=Asked) == asked


@pytest.mark.parametrize("line", [b'{"word":"resume"}', b'{"word":"pause","now":1}', b'{"reason":"x"}', b"[]"])
def test_what_is_not_whole_or_more_than_known_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(line, type=Asked)


def test_a_refusal_has_its_code_and_sentence() -> None:
    refusal = declined("journal", "disk full").refusals[0]
    assert (refusal.code, refusal.detail) == ("journal", "disk full")
