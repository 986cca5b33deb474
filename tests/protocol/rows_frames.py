"""Rows F1 to F17: frames and their encoding, seen from the wire. What the parser alone can show is in ``tests/stomp``."""

from __future__ import annotations

from itertools import product

from stompgate.model.causes import Cause

from .table import V1_0, V1_1, V1_2, Stage, frame, promise


@promise("F1")
async def frames_are_command_headers_blank_line_body_and_nul(stage: Stage) -> None:
    client = await stage.listener()
    for eol in ("\n", "\r\n"):
        head = eol.join(["SEND", f"destination:{stage.topic}", "a:1", "receipt:r", "", ""])
        await client.write(head + "one\n\ntwo\r\n\0")
        await client.receipt("r")
        message = await client.expect("MESSAGE")
        assert (message.body, message.headers["a"]) == (b"one\n\ntwo\r\n", "1")


@promise("F2")
async def line_ends_between_frames_are_passed_over(stage: Stage) -> None:
    client = await stage.stranger()
    await client.write("\n\r\n\n")
    await client.connect("user", stage.version.value)
    await client.subscribe(stage.topic, "s")
    send = f"SEND\ndestination:{stage.topic}\n\nx\0"
    await client.write("\n\n", send + "\n", "\r\n" + send + "\r\n\n", send)
    assert [message.body for message in await client.frames(3)] == [b"x"] * 3


@promise("F3")
async def names_are_case_sensitive_and_utf8(stage: Stage) -> None:
    client = await stage.listener()
    await stage.deliver("é", 한글="값 é", KEY="upper", key="lower")
    message = await client.expect("MESSAGE")
    assert (message.headers["한글"], message.headers["KEY"], message.headers["key"]) == ("값 é", "upper", "lower")
    await stage.refuses(f"send\ndestination:{stage.topic}\n\nx\0", Cause.UNKNOWN_COMMAND)
    await stage.refuses(f"SEND\nDestination:{stage.topic}\n\nx\0", Cause.MISSING_HEADER)
    await stage.refuses(b"SEND\nreceipt:r\ndestination:/topic/\xff\n\nx\0", Cause.NOT_UTF8, "r")


@promise("F4", V1_2)
async def every_escape_is_decoded_and_made_again_but_none_in_the_handshake(stage: Stage) -> None:
    client = await stage.stranger()
    await client.write("CONNECT\naccept-version:1.2\nsender:a\\tb\nx:\\q\n\n\0")
    assert (await client.expect("CONNECTED")).headers["version"] == "1.2"
    await client.subscribe(stage.topic, "s")
    escaped = "x\\c\\n:\\r\\n\\c\\\\\\\\n"
    await client.write(f"SEND\ndestination:{stage.topic}\n{escaped}\n\nx\0")
    assert f"\n{escaped}\n".encode() in await client.read_raw()
    await client.write(f"SEND\ndestination:{stage.topic}\n{escaped}\n\nx\0")
    assert (await client.expect("MESSAGE")).headers["x:\n"] == "\r\n:\\\\n"


@promise("F5", V1_1, V1_2)
async def any_other_escape_is_fatal(stage: Stage) -> None:
    for escape in ("\\t", "\\", "\\N", "a\\\\\\"):
        await stage.refuses(f"SEND\ndestination:{stage.topic}\nreceipt:r\na:{escape}\n\nx\0", Cause.BAD_HEADER, "r")
        await stage.refuses(f"SEND\n{escape}:a\nreceipt:r\ndestination:{stage.topic}\n\nx\0", Cause.BAD_HEADER, "r")


@promise("F6", V1_1)
async def cr_has_no_escape(stage: Stage) -> None:
    await stage.refuses(f"SEND\ndestination:{stage.topic}\nreceipt:r\na:\\r\n\nx\0", Cause.BAD_HEADER, "r")
    client = await stage.listener()
    await client.write(f"SEND\ndestination:{stage.topic}\na:\\n\\c\\\\\n\nx\0")
    raw = await client.read_raw()
    assert b"\na:\\n\\c\\\\\n" in raw
    assert b"\r" not in raw


@promise("F7", V1_0)
async def nothing_is_escaped_either_way(stage: Stage) -> None:
    client = await stage.listener()
    for line in ("a\\c:b\\n\\r\\\\\\t:c", "a:\\"):
        await client.write(f"SEND\ndestination:{stage.topic}\n{line}\n\nx\0")
        assert f"\n{line}\n".encode() in await client.read_raw()


@promise("F8", V1_1, V1_2)
async def header_texts_are_never_trimmed_or_padded(stage: Stage) -> None:
    client = await stage.listener()
    await client.write(f"SEND\ndestination:{stage.topic}\n a : \tb  \nempty:\n\nx\0")
    raw = await client.read_raw()
    assert b"\n a : \tb  \n" in raw
    assert b"\nempty:\n" in raw
    await stage.refuses(f"SEND\ndestination: {stage.topic}\n\nx\0", Cause.BAD_DESTINATION)


@promise("F8", V1_0)
async def the_spacing_of_1_0_is_tolerated(stage: Stage) -> None:
    client = await stage.listener()
    await client.write(f"SEND\ndestination: {stage.topic} \nreceipt : r\n\nx\0")
    await client.receipt("r")
    assert (await client.expect("MESSAGE")).headers["destination"] == stage.topic


@promise("F9")
async def only_send_has_a_body(stage: Stage) -> None:
    for command, headers in (
        ("SUBSCRIBE", f"id:1\ndestination:{stage.topic}"),
        ("DISCONNECT", "a:b"),
        ("BEGIN", "transaction:t"),
    ):
        await stage.refuses(f"{command}\nreceipt:r\n{headers}\n\nx\0", Cause.BROKEN_FRAME, "r")
        await stage.refuses(f"{command}\nreceipt:r\n{headers}\ncontent-length:1\n\nx\0", Cause.BROKEN_FRAME, "r")
    client = await stage.client()
    await client.write(f"SUBSCRIBE\nid:1\ndestination:{stage.topic}\nreceipt:r\ncontent-length:0\n\n\0")
    await client.receipt("r")


@promise("F10")
async def content_length_counts_octets_and_nul_must_follow(stage: Stage) -> None:
    client = await stage.listener()
    body = "\0é\nx"
    await stage.deliver(body)
    assert (await client.expect("MESSAGE")).body == body.encode()
    for length in (4, 6):
        bad = f"SEND\nreceipt:r\ndestination:{stage.topic}\ncontent-length:{length}\n\n{body}\0\n\n"
        await stage.refuses(bad, Cause.BROKEN_FRAME, "r")
    for claim in ("-1", "6.0", "six", ""):
        bad = f"SEND\nreceipt:r\ndestination:{stage.topic}\ncontent-length:{claim}\n\n{body}\0"
        await stage.refuses(bad, Cause.BAD_HEADER, "r")


@promise("F11")
async def every_body_goes_out_with_its_length(stage: Stage) -> None:
    client = await stage.listener()
    for body in (b"plain", b"with\0nul"):
        await client.write(b"SEND\ndestination:%b\ncontent-length:%d\n\n%b\0" % (stage.topic.encode(), len(body), body))
        message = await client.expect("MESSAGE")
        assert (message.headers["content-length"], message.body) == (str(len(body)), body)
    await client.write(f"SEND\ndestination:{stage.topic}\n\nuncounted\0")
    assert (await client.expect("MESSAGE")).headers["content-length"] == "9"
    error = (await stage.refuses("BOGUS\n\n\0", Cause.UNKNOWN_COMMAND)).error
    assert error.headers["content-length"] == str(len(error.body))


@promise("F12")
async def a_body_keeps_its_type_and_an_absent_one_stays_absent(stage: Stage) -> None:
    client = await stage.listener()
    await stage.deliver("{}", content_type="application/json;charset=utf-8")
    assert (await client.expect("MESSAGE")).headers["content-type"] == "application/json;charset=utf-8"
    await client.write(b"SEND\ndestination:%b\ncontent-length:2\n\n\xff\xfe\0" % stage.topic.encode())
    message = await client.expect("MESSAGE")
    assert message.body == b"\xff\xfe"
    assert "content-type" not in message.headers
    assert (await stage.refuses("BOGUS\n\n\0", Cause.UNKNOWN_COMMAND)).error.headers["content-type"].startswith("text/plain")


@promise("F13")
async def the_first_of_repeated_headers_wins(stage: Stage) -> None:
    client = await stage.listener()
    repeated = "a:1\ncontent-length:1\na:2\ndestination:/nowhere\ncontent-length:900"
    await client.write(f"SEND\ndestination:{stage.topic}\n{repeated}\n\nx\0")
    raw = await client.read_raw()
    assert raw.count(b"\na:") == 1
    assert b"\na:1\n" in raw


@promise("F14")
async def what_passes_a_limit_is_refused_before_it_ends(stage: Stage) -> None:
    start = f"SEND\nreceipt:r\ndestination:{stage.topic}\n"
    await stage.refuses(start + "a:b\n" * 63, Cause.FRAME_TOO_LARGE, "r")
    await stage.refuses(start + "a:" + "x" * 8191, Cause.FRAME_TOO_LARGE, "r")
    await stage.refuses(start + "\n" + "x" * 65_536, Cause.FRAME_TOO_LARGE, "r")
    await stage.refuses(start + "content-length:99999999\n\n", Cause.FRAME_TOO_LARGE, "r")
    client = await stage.listener()
    await client.write(start + "a:b\n" * 62 + "\n" + "x" * 60_000 + "\0")
    await client.receipt("r")
    assert len((await client.expect("MESSAGE")).body) == 60_000


@promise("F14", part="connect")
async def the_first_frame_has_a_limit_of_its_own_however_it_is_cut(stage: Stage) -> None:
    head = f"CONNECT\naccept-version:{stage.version.value}\nsender:user\n"
    fitting = head + f"a:{'x' * 4000}\nb:{'x' * (8192 - len(head) - 4000 - 7)}\n\n"
    assert len(fitting) == 8192
    for data, is_cut in product((fitting, fitting.replace("a:", "a:x")), (False, True)):
        client = await stage.stranger()
        await client.write(*([data[:5000], data[5000:], "\0"] if is_cut else [data + "\0"]))
        if data is fitting:
            await client.expect("CONNECTED")
        else:
            await stage.refused(client, Cause.FRAME_TOO_LARGE)


@promise("F15")
async def clients_that_leave_at_once_are_survived(stage: Stage) -> None:
    connect = f"CONNECT\naccept-version:{stage.version.value}\nsender:user\n\n\0"
    for end in range(0, len(connect), 5):
        leaving = await stage.stranger()
        await leaving.write(connect[: end or 1])
    await stage.clients.aclose()
    client = await stage.listener()
    await stage.deliver("still here")
    assert (await client.expect("MESSAGE")).body == b"still here"


@promise("F16")
async def error_and_receipt_arrive_though_the_peer_goes_on_sending(stage: Stage) -> None:
    flood = f"SEND\ndestination:{stage.topic}\n\n{'x' * 1000}\0" * 500
    client = await stage.client()
    await client.write("BOGUS\nreceipt:r\n\n\0", flood)
    await stage.refused(client, Cause.UNKNOWN_COMMAND, "r")
    client = await stage.client()
    await client.write("DISCONNECT\nreceipt:r\n\n\0", flood)
    await client.receipt("r")


@promise("F17")
async def an_unknown_command_is_refused(stage: Stage) -> None:
    for command in ("BOGUS", "MESSAGE", "CONNECTED", "SEN"):
        await stage.refuses(frame(command, receipt="r"), Cause.UNKNOWN_COMMAND, "r")
