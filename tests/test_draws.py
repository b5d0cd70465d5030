"""Draws depend on (seed, stream, sample id, counter) alone, and are distributed as they say."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import numpy as np
import pytest
import torch
from scipy import stats

from robustbench_sdnet.draws import Draws, _odd_keys, host_generators, seeded, stream_key
from robustbench_sdnet.errors import InputError

IDS = torch.arange(64)


def test_draws_do_not_depend_on_neighbours_or_order():
    whole = Draws.of(3, "start", IDS).uniform((3, 4, 4))
    picked = torch.tensor([40, 7])
    assert torch.equal(Draws.of(3, "start", IDS[picked]).uniform((3, 4, 4)), whole[picked])
    assert torch.equal(Draws.of(3, "start", torch.tensor([7])).uniform((3, 4, 4))[0], whole[7])


def test_a_seed_is_a_whole_number():
    assert stream_key(np.int64(3), "start") == stream_key("3", "start") == stream_key(3, "start")
    for seed in (1.5, True, None, 2**70, "x"):
        with pytest.raises(InputError, match="seed must be a whole number"):
            Draws.of(seed, "start", IDS)


@pytest.mark.parametrize("other", [(4, "start", 0), (3, "square", 0), (3, "start", 1)])
def test_seed_stream_and_counter_give_fresh_draws(other):
    seed, stream, counter = other
    first, second = Draws.of(3, "start", IDS).words(16), Draws.of(seed, stream, IDS).words(16, counter)
    assert (first == second).sum() == 0


def test_a_counter_a_sample_equals_the_counter_for_all():
    draws = Draws.of(0, "x", IDS)
    counters = torch.where(IDS % 2 == 0, 5, 9)
    mixed = draws.words(4, counters)
    assert torch.equal(mixed[::2], draws.words(4, 5)[::2])
    assert torch.equal(mixed[1::2], draws.words(4, 9)[1::2])


def test_words_are_the_published_generator():
    # squares32 of Widynski 2020, evaluated with Python's integers for the key of sample 7.
    draws = Draws.of(1, "s", torch.tensor([7]))
    key = int(_odd_keys(draws.key, draws.ids)[0]) % 2**64
    for position in range(5):
        counter = position + (2 << 32)
        x = y = counter * key % 2**64
        z = (y + key) % 2**64
        for add in (y, z, y):
            x = (x * x + add) % 2**64
            x = (x >> 32) | (x << 32) % 2**64
        assert int(draws.words(5, 2)[0, position]) == ((x * x + z) % 2**64) >> 32


def test_keys_are_the_published_mixture_made_odd():
    # splitmix64 of Steele et al. 2014 from the state 1234567: the first outputs that its implementations are tested by.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(key) % 2**64 for key in _odd_keys(1234567, torch.arange(1, 6))] == published
    assert bool((_odd_keys(0, IDS) % 2 == 1).all())


def test_distributions():
    draws = Draws.of(0, "test", torch.arange(200))
    uniform = draws.uniform((500,)).flatten().numpy()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert stats.kstest(draws.normal((500,)).flatten().numpy(), "norm").pvalue > 1e-3
    assert set(draws.signs((500,)).unique().tolist()) == {-1.0, 1.0}
    assert abs(float(draws.signs((500,)).mean())) < 4 / np.sqrt(100_000)


def test_a_uniform_draw_of_zero_is_a_normal_too(monkeypatch):
    # Box and Muller take the logarithm of a number in (0, 1]; the draws lie in [0, 1).
    monkeypatch.setattr(Draws, "uniform", lambda draws, shape, *_: torch.zeros(len(draws.ids), *shape))
    assert torch.equal(Draws.of(0, "x", IDS).normal((2,)), torch.zeros(64, 2))


def test_float64_holds_the_same_numbers():
    draws = Draws.of(0, "x", IDS)
    assert torch.equal(draws.uniform((8,)).double(), draws.uniform((8,), dtype=torch.float64))


def test_host_generators_match_single_ones_and_are_keyed_by_sample():
    many = [g.standard_normal(5) for g in host_generators(1, "noise", [4, 9, 4])]
    assert np.array_equal(many[0], many[2])
    assert not np.array_equal(many[0], many[1])
    key = np.array([stream_key(1, "noise"), 9], np.uint64)  # a list of both would pass through float64
    alone = np.random.Generator(np.random.Philox(key=key))
    assert np.array_equal(many[1], alone.standard_normal(5))


def test_only_generators_that_are_put_back_are_seeded(monkeypatch):
    every, one, current = [], [], ["cuda:0"]

    @contextmanager
    def on(device):
        current.append(device)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "manual_seed_all", every.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: one.append((current[-1], seed)))
    monkeypatch.setattr(torch.cuda, "device", on)
    before = torch.get_rng_state()
    with seeded(3, "x"):
        drawn = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert (every, one) == ([], [])
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(stream_key(3, "x") % 2**63)
        assert torch.equal(torch.rand(4), drawn)

    @contextmanager
    def forked(devices):
        assert devices == ["cuda:1"]
        yield

    monkeypatch.setattr(torch.random, "fork_rng", forked)
    with seeded(3, "x", "cuda:1"):
        pass
    torch.set_rng_state(before)
    assert (every, one) == ([], [("cuda:1", stream_key(3, "x") % 2**63)])


def test_threads_take_turns_with_the_global_generators():
    before, first_in, second_in = torch.get_rng_state(), Event(), Event()

    def first() -> float:
        with seeded(0, "first"):
            first_in.set()
            second_in.wait(0.3)  # as long as it would take the other to seed anew
            return float(torch.rand(()))

    def second() -> float:
        first_in.wait(10)
        with seeded(0, "second"):
            second_in.set()
            return float(torch.rand(()))

    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in (pool.submit(first), pool.submit(second))]
    for stream, value in zip(("first", "second"), found, strict=True):
        with seeded(0, stream):
            assert float(torch.rand(())) == value
    assert torch.equal(torch.get_rng_state(), before)
