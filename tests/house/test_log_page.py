"""The page of the log has what the program can write, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.pages import ROOT

from .log_calls import log_calls


def test_the_page_of_the_log_has_every_line_with_its_level_and_fields() -> None:
    calls = list(log_calls())
    loose = [call.place for call in calls if call.event is None or None in call.fields]
    assert loose == [], "a text or a field that is made at run time: nobody could look for it"
    written = {(call.level, call.event, frozenset(call.fields)) for call in calls}
    assert written == set(_documented_lines())


def test_fields_of_the_log_that_name_a_thing_are_called_as_it_is() -> None:
    assert {field for call in log_calls() for field in call.fields if field is not None and field.endswith("_id")} == set()


def _documented_lines() -> Iterator[tuple[str, str, frozenset[str]]]:
    page = (ROOT / "docs/operations/logs.md").read_text().partition("## Every line")[2]
    for section in page.split("\n### ")[1:]:
        level, _, rows = section.partition("\n")
        for event, fields in re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", rows, re.MULTILINE):
            yield level, event, frozenset(re.findall(r"`(\w+)`", fields))
