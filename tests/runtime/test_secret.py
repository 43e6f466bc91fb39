"""A Secret shows itself to nobody who does not ask by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import msgspec
import pytest
from pydantic import BaseModel

from twinleg.runtime.secret import MASK, Secret

TEXT = "c0ffee-do-not-show"


class Holder(BaseModel):
    key: Secret


def test_no_way_of_printing_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("key %s %r", secret, secret)
    holder = Holder(key=secret)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        f"{secret}",
        repr([secret]),
        repr(holder),
        caplog.text,
        str(holder.model_dump()),
        holder.model_dump_json(),
    ]
    assert not [text for text in shown if TEXT in text]
    assert secret.reveal() == TEXT
    assert holder.model_dump_json() == json.dumps({"key": MASK}, separators=(",", ":"))


def test_it_is_not_written_away() -> None:
    secret = Secret(TEXT)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert not hasattr(secret, "__dict__")


def test_it_is_a_value_that_does_not_change() -> None:
    secret = Secret(TEXT)
    assert secret == Secret(TEXT)
    assert secret != Secret("another")
    assert secret != TEXT
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    with pytest.raises(AttributeError):
        secret._text = "x"
    with pytest.raises(TypeError):
        hash(secret)


def test_only_text_becomes_one() -> None:
    assert Holder(key=TEXT).key == Secret(TEXT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not text") as caught:
        Holder(key=31337)  # type: ignore[arg-type]
    assert "not text" in str(caught.value)
