"""A bucket gives so many at once and then so many a minute, to each key its own, and remembers no more keys than it may."""

from __future__ import annotations

import pytest

from stompgate.timing.bucket import Buckets


def test_a_bucket_gives_its_tokens_and_then_one_at_its_rate() -> None:
    buckets = Buckets(6, 10)
    for _ in range(6):
        assert buckets.wait_s("a", 100.0) == 0
        buckets.take("a", 100.0)
    assert buckets.wait_s("a", 100.0) == pytest.approx(10.0)
    assert buckets.wait_s("a", 104.0) == pytest.approx(6.0)
    assert buckets.wait_s("b", 104.0) == 0
    assert buckets.wait_s("a", 110.0) == 0
    buckets.take("a", 110.0)
    assert buckets.wait_s("a", 110.0) == pytest.approx(10.0)


def test_a_bucket_is_never_fuller_than_full() -> None:
    buckets = Buckets(2, 10)
    buckets.take("a", 0.0)
    for _ in range(2):
        buckets.take("a", 1_000_000.0)
    assert buckets.wait_s("a", 1_000_000.0) > 0


def test_no_limit_is_no_limit() -> None:
    buckets = Buckets(0, 10)
    for _ in range(100):
        buckets.take("a", 0.0)
    assert buckets.wait_s("a", 0.0) == 0
    assert len(buckets) == 0


def test_the_key_of_longest_ago_is_forgotten() -> None:
    buckets = Buckets(1, 2)
    for at_s, key in enumerate("abac"):
        buckets.take(key, float(at_s))
    assert len(buckets) == 2
    assert buckets.wait_s("b", 4.0) == 0
    assert buckets.wait_s("a", 4.0) > 0
