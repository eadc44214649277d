"""Latency, frames a second, and photos that become smaller where they can't be drawn in time."""

import numpy as np
import pytest

from mcnet_cli.live.pace import (
    IGNORED_FRAMES,
    JUDGED_FRAMES,
    FittingSize,
    Latency,
    RecentPace,
    frame_budget_s,
)

TWENTIETH = 0.05


def test_the_percentiles_of_latency_are_those_of_all_frames() -> None:
    seconds = np.random.default_rng(0).gamma(4, 0.02, 999)
    latency = Latency()
    for each in seconds:
        latency.add(each)
    for share in (0.5, 0.95, 1.0):
        exact = 1000 * np.quantile(seconds, share, method="inverted_cdf")
        assert latency.percentile_ms(share) == pytest.approx(exact, abs=0.51)


def test_without_frames_there_is_no_latency() -> None:
    assert Latency().percentile_ms(0.5) is None


def test_the_pace_is_that_of_the_last_second() -> None:
    pace = RecentPace()
    assert (pace.rate, pace.latency_ms) == (0, 0)
    for number in range(100):
        pace.add(number / 50, 0.3)
    for number in range(40):
        pace.add(2 + number / 20, 0.08)
    assert pace.rate == pytest.approx(20)
    assert pace.latency_ms == pytest.approx(80)


def feed(size: FittingSize, seconds: float, count: int = JUDGED_FRAMES + IGNORED_FRAMES) -> None:
    for _ in range(count):
        size.drawn(seconds)


def test_a_photo_that_is_drawn_in_time_keeps_its_size() -> None:
    size = FittingSize(1080, TWENTIETH)
    feed(size, 0.04, 500)
    assert size.longest == 1080


def test_a_photo_becomes_smaller_until_it_is_drawn_in_time() -> None:
    size = FittingSize(1080, TWENTIETH)
    feed(size, 0.1)
    assert size.longest == 720
    feed(size, 0.07)
    assert size.longest == 512
    feed(size, 0.04, 500)
    assert size.longest == 512


def test_single_slow_frames_make_no_photo_smaller() -> None:
    size = FittingSize(1080, TWENTIETH)
    for number in range(500):
        size.drawn(1.0 if number % 10 == 0 else 0.03)
    assert size.longest == 1080


@pytest.mark.parametrize(("longest", "steps"), [(1080, 2), (300, 1)])
def test_steps_that_gain_nothing_are_taken_back_and_are_the_last_ones(longest: int, steps: int) -> None:
    size = FittingSize(longest, TWENTIETH)
    feed(size, 0.1)
    for _ in range(steps):
        assert size.longest < longest
        feed(size, 0.099)
    assert size.longest == longest
    feed(size, 0.2, 500)
    assert size.longest == longest


def test_a_step_that_gains_little_is_followed_by_one_that_may_gain_more() -> None:
    size = FittingSize(1080, TWENTIETH)
    for seconds in (0.06, 0.058, 0.045):
        feed(size, seconds)
    feed(size, 0.045, 500)
    assert size.longest == 512


def test_a_mouth_that_opens_meanwhile_does_not_undo_a_step_that_gains() -> None:
    size = FittingSize(1080, TWENTIETH)
    feed(size, 0.06)
    for number in range(2 * (JUDGED_FRAMES + IGNORED_FRAMES)):
        size.drawn(0.048 if number % 3 == 0 else 0.07)
    assert size.longest == 384
    feed(size, 0.04, 500)
    assert size.longest == 384


def test_a_later_load_does_not_undo_a_step_that_has_gained() -> None:
    size = FittingSize(720, TWENTIETH)
    feed(size, 0.06)
    feed(size, 0.04)
    feed(size, 0.2)
    assert size.longest == 384


def test_no_photo_becomes_smaller_than_what_the_network_paints() -> None:
    size = FittingSize(300, TWENTIETH)
    feed(size, 0.9)
    feed(size, 0.8, 500)
    assert size.longest == 256


@pytest.mark.parametrize(("rate", "seconds"), [(30, 0.05), (25, 0.05), (10, 0.1)])
def test_a_frame_has_to_be_drawn_at_twenty_a_second_or_at_the_cameras_pace(
    rate: float, seconds: float
) -> None:
    assert frame_budget_s(rate) == pytest.approx(seconds)
