"""How a version is chosen (C2, C3, C4) and a WebSocket subprotocol."""

from __future__ import annotations

import pytest

from stompgate.stomp.versions import Version, choose, choose_subprotocol


@pytest.mark.parametrize(
    ("accept_version", "chosen"),
    [
        (None, Version.V1_0),
        ("1.0", Version.V1_0),
        ("1.1,1.0", Version.V1_1),
        ("1.0,1.1,1.2", Version.V1_2),
        ("1.2,1.1,1.0", Version.V1_2),
        (" 1.0 , 1.1 ", Version.V1_1),
        ("1.3,2.0,1.1", Version.V1_1),
        ("1.3,2.0", None),
        ("", None),
        ("1.25", None),
        ("1.2;1.1", None),
    ],
)
def test_the_highest_common_version_is_chosen_whatever_the_order(accept_version: str | None, chosen: Version | None) -> None:
    assert choose(accept_version) is chosen


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["chat", "v13.stomp"], None),
        (["v10.stomp", "v11.stomp", "v12.stomp"], "v10.stomp"),
        (["chat", "v12.stomp", "v11.stomp"], "v12.stomp"),
    ],
)
def test_the_clients_first_known_subprotocol_is_chosen(offered: list[str], chosen: str | None) -> None:
    assert choose_subprotocol(offered) == chosen
