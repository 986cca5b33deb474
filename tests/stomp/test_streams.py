"""Promises about every stream of bytes there can be."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stompgate.stomp.frames import Frame, FrameRefusal
from stompgate.stomp.head import read_exactly, read_plain
from stompgate.stomp.parser import Limits
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version

from .samples import ALL_COMMANDS, SMALL, byte_by_byte, frames, pieces, read, streams, versions

thorough = settings(max_examples=400, deadline=None)


@thorough
@given(data=st.data(), version=versions)
def test_any_frame_survives_serializing_and_parsing(data: st.DataObject, version: Version) -> None:
    frame = data.draw(frames(version))
    (again,) = read([serialize(frame, version)], version, commands=ALL_COMMANDS)
    assert isinstance(again, Frame)
    headers = dict(again.headers)
    if frame.body:
        assert headers.pop("content-length") == str(len(frame.body))
    assert (again.command, headers, again.body) == (frame.command, frame.headers, frame.body)


@thorough
@given(stream=streams, data=st.data(), version=versions, limits=st.sampled_from([Limits(), SMALL]))
def test_any_cutting_of_any_bytes_gives_the_same_frames_and_the_same_refusal(
    stream: bytes, data: st.DataObject, version: Version, limits: Limits
) -> None:
    whole = read([stream], version, limits)
    assert read(byte_by_byte(stream), version, limits) == whole
    assert read(data.draw(pieces(stream)), version, limits) == whole


@thorough
@given(stream=streams, version=versions)
@example(stream=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", version=Version.V1_2)
@example(stream=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\0", version=Version.V1_2)
def test_no_input_raises_anything_but_the_refusal_and_nothing_comes_after_it(stream: bytes, version: Version) -> None:
    events = read([stream, b"SEND\ndestination:/a\n\n\0" * 2], version)
    assert all(isinstance(event, Frame) for event in events[:-1])


@thorough
@given(stream=streams, version=versions, limits=st.sampled_from([Limits(), SMALL]))
def test_the_quick_reader_of_heads_agrees_with_the_exact_one(stream: bytes, version: Version, limits: Limits) -> None:
    head = b"SEND\n" + stream.replace(b"\0", b"").replace(b"\n\n", b"").replace(b"\n\r\n", b"").strip(b"\r\n") + b"\n\n"
    quick = read_plain(head, version, limits, ALL_COMMANDS)
    if quick is not None:
        assert quick == read_exactly(head, version, limits, ALL_COMMANDS)


@thorough
@given(data=st.data(), spoken=versions, told=versions)
def test_whatever_is_serialized_is_one_frame_with_no_header_slipped_in(
    data: st.DataObject, spoken: Version, told: Version
) -> None:
    """Also texts that the version has no way to express: frames made for one version, serialized for another."""
    frame = data.draw(frames(spoken))
    hostile = data.draw(st.text(st.sampled_from("a:\n\r\0\\ \ud800"), min_size=1, max_size=8))
    frame = Frame(frame.command, {"first": hostile, hostile: "second", **frame.headers}, frame.body)
    try:
        events = read([serialize(frame, told)], told, Limits(frame_bytes=10**6), ALL_COMMANDS)
    except FrameRefusal as refusal:
        raise AssertionError(refusal.explanation) from refusal
    (again,) = events
    assert isinstance(again, Frame)
    assert (again.command, again.body) == (frame.command, frame.body)
    assert len(again.headers) <= len(frame.headers) + 1
    assert {name.encode("utf-8", "replace").decode() for name in frame.headers} | {"content-length"} >= set(again.headers)
