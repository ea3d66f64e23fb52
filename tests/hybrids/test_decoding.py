"""Greedy and beam search against every sequence there is, on models small enough to list them all."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrids.decoding import Hypotheses, Step, beam, greedy, penalised, top
from hybrids.errors import ConfigError, HybridError
from hybrids.mixer import State

SYMBOLS, END, LONGEST = 3, 0, 4
EVERY = SYMBOLS**LONGEST
seeds = st.integers(0, 2**16)
penalties = st.sampled_from([0.0, 0.6, 1.5])


def random_model(seed: int, rows: int = 2, symbols: int = SYMBOLS) -> tuple[Step, State, torch.Tensor]:
    """Return a recurrent model whose rows differ by their state, its start state and the start symbols."""
    torch.manual_seed(seed)
    embedding, mix, out = (torch.randn(n, m, dtype=torch.float64) for n, m in [(symbols, 5), (5, 5), (5, symbols)])

    def step(last: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = torch.tanh(embedding[last] + h @ mix)
        return (2 * h @ out).log_softmax(-1), (h,)

    return step, (torch.randn(rows, 5, dtype=torch.float64),), torch.full((rows,), 1)


def all_sequences(step: Step, state: State, first: torch.Tensor, penalty: float) -> list[tuple[float, list[int]]]:
    """Return every sequence of one row with its score, best first: those with an end, and those cut at LONGEST."""
    symbols = torch.tensor(list(product(range(SYMBOLS), repeat=LONGEST)))
    last, state, total = first.expand(EVERY), tuple(s.expand(EVERY, -1) for s in state), [torch.zeros(EVERY)]
    for t in range(LONGEST):
        log_p, state = step(last, state)
        last = symbols[:, t]
        total.append(total[-1] + log_p.gather(1, last[:, None])[:, 0])
    found = {}
    for i, row in enumerate(symbols.tolist()):
        end = row.index(END) + 1 if END in row else LONGEST
        found[tuple(row[:end])] = total[end][i].item() / ((5 + end) / 6) ** penalty
    return sorted(((score, list(row)) for row, score in found.items()), reverse=True)


def written(found: Hypotheses, row: int) -> list[list[int]]:
    return [ids[:n].tolist() for ids, n in zip(found.ids[row], found.lengths[row], strict=True)]


@given(seed=seeds, penalty=penalties)
def test_a_beam_as_wide_as_all_sequences_finds_the_best_ones_in_order(seed, penalty):
    step, state, first = random_model(seed)
    found = beam(step, state, first, END, LONGEST, width=EVERY, penalty=penalty, best=5)
    for row in range(2):
        truth = all_sequences(step, tuple(s[row : row + 1] for s in state), first[:1], penalty)[:5]
        assert written(found, row) == [symbols for _, symbols in truth]
        assert found.scores[row].tolist() == pytest.approx([score for score, _ in truth], abs=1e-12)


@given(seed=seeds, penalty=penalties)
def test_a_beam_of_one_is_greedy_search(seed, penalty):
    model = random_model(seed, rows=3, symbols=7)
    one, taken = beam(*model, END, 9, width=1, penalty=penalty), greedy(*model, END, 9, penalty)
    for a, b in zip(one, taken, strict=True):
        assert torch.equal(a, b)


@given(seed=seeds)
def test_greedy_search_takes_the_most_probable_symbol_every_time(seed):
    step, (h,), first = random_model(seed, rows=1)
    last, state, symbols = first, (h,), []
    while len(symbols) < LONGEST and symbols[-1:] != [END]:
        log_p, state = step(last, state)
        last = log_p.argmax(-1)
        symbols.append(int(last))
    assert written(greedy(step, (h,), first, END, LONGEST), 0) == [symbols]


@given(seed=seeds, penalty=penalties, width=st.integers(1, 5))
def test_scores_are_those_of_the_returned_sequences_best_first_and_all_different(seed, penalty, width):
    step, state, first = random_model(seed)
    found = beam(step, state, first, END, LONGEST, width, penalty, best=width)
    for row in range(2):
        scores = {tuple(s): v for v, s in all_sequences(step, (state[0][row : row + 1],), first[:1], penalty)}
        symbols = written(found, row)
        assert len({tuple(s) for s in symbols}) == width
        assert found.scores[row].tolist() == sorted(found.scores[row].tolist(), reverse=True)
        expected = [scores[tuple(s)] for s in symbols]
        assert found.scores[row].tolist() == pytest.approx(expected, abs=1e-12)


@given(seed=seeds, penalty=penalties, width=st.integers(1, 4))
def test_rows_are_searched_on_their_own(seed, penalty, width):
    step, state, first = random_model(seed, rows=3)
    together = beam(step, state, first, END, LONGEST, width, penalty, best=width)
    for row in range(3):
        alone = beam(step, (state[0][row : row + 1],), first[:1], END, LONGEST, width, penalty, best=width)
        assert written(together, row) == written(alone, 0)
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=0, atol=1e-12)


def chain(log_p: dict[int, list[float]]) -> tuple[Step, State, torch.Tensor]:
    """Return a Markov model: the log-probabilities of the next symbol by the last one."""
    table = torch.tensor([log_p[i] for i in range(len(log_p))], dtype=torch.float64)
    return (lambda last, state: (table[last], state)), (), torch.tensor([1])


def test_a_beam_finds_what_greedy_search_misses():
    rows = {0: [0.2, 0.4, 0.4], 1: [0.1, 0.5, 0.4], 2: [0.99, 0.005, 0.005]}
    model = chain({k: torch.tensor(v).log().tolist() for k, v in rows.items()})
    assert written(greedy(*model, END, 2), 0) == [[1, 1]]
    found = beam(*model, END, 2, width=2)
    assert written(found, 0) == [[2, 0]]
    assert found.scores.exp().item() == pytest.approx(0.4 * 0.99)


def test_a_length_penalty_prefers_the_longer_sequence():
    rows = {0: [1.0, 0.0, 0.0], 1: [0.45, 0.0, 0.55], 2: [0.8, 0.0, 0.2]}
    model = chain({k: torch.tensor(v).log().tolist() for k, v in rows.items()})
    assert written(beam(*model, END, 6, width=3), 0) == [[0]]
    assert written(beam(*model, END, 6, width=3, penalty=1.0), 0) == [[2, 0]]
    assert penalised(torch.tensor([-3.0, -3.0]), torch.tensor([1, 7]), 1.0).tolist() == [-3.0, -1.5]


def test_a_finished_sequence_stays_as_it_is_while_others_go_on():
    rows = {0: [0.1, 0.1, 0.8], 1: [0.5, 0.25, 0.25], 2: [0.2, 0.2, 0.6]}
    model = chain({k: torch.tensor(v).log().tolist() for k, v in rows.items()})
    found = beam(*model, END, 5, width=3, best=3)
    assert written(found, 0)[0] == [END] and found.ids[0, 0].tolist() == [END] * found.ids.shape[-1]
    assert found.scores[0, 0].exp().item() == pytest.approx(0.5)


def test_a_search_stops_as_soon_as_nothing_open_can_win():
    calls = []
    table = torch.tensor([[0.9, 0.05, 0.05]] * 3, dtype=torch.float64).log()

    def step(last: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        calls.append(len(last))
        return table[last], state

    beam(step, (), torch.tensor([1, 1]), END, 50, width=3)
    assert calls == [6]
    greedy(step, (), torch.tensor([1, 1]), END, 50)
    assert calls == [6, 2]


def test_equal_scores_are_taken_in_the_order_of_the_symbols():
    step, state, first = chain({i: [-torch.inf, -1.0986, -1.0986, -1.0986] for i in range(4)})
    found = beam(step, state, first, END, 2, width=4, best=4)
    assert written(found, 0) == [[1, 1], [1, 2], [1, 3], [2, 1]]
    assert written(greedy(step, state, first, END, 2), 0) == [[1, 1]]


@given(seed=seeds, count=st.integers(1, 12))
def test_the_top_equals_a_stable_sort(seed, count):
    scores = torch.randint(-2, 3, (3, 12), generator=torch.Generator().manual_seed(seed)).double()
    scores[scores == -2] = -torch.inf
    expected = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    assert torch.equal(top(scores, count), expected)


def test_where_fewer_sequences_exist_than_asked_for_the_rest_score_minus_infinity():
    found = beam(*chain({0: [0.0, -torch.inf], 1: [0.0, -torch.inf]}), END, 5, width=4, best=4)
    assert found.scores[0].tolist() == [0.0, -torch.inf, -torch.inf, -torch.inf]
    assert written(found, 0)[0] == [END]


def test_the_state_given_is_not_changed():
    step, (h,), first = random_model(0)
    before = h.clone()
    beam(step, (h,), first, END, LONGEST, width=3)
    greedy(step, (h,), first, END, LONGEST)
    assert torch.equal(h, before)


def test_what_cannot_be_searched_is_refused():
    model = random_model(0)
    with pytest.raises(ConfigError, match=r"at most 0 symbols is none\. Set longest"):
        greedy(*model, END, 0)
    with pytest.raises(ConfigError, match=r"penalty -1 rewards short .* Use 0 or more"):
        beam(*model, END, 4, penalty=-1)
    with pytest.raises(ConfigError, match=r"beam of 2 cannot return 3 .* Set width"):
        beam(*model, END, 4, width=2, best=3)
    for search in (greedy, beam):
        with pytest.raises(HybridError, match=r"is nan\. Check the weights"):
            search(lambda last, state: (torch.full((len(last), 3), torch.nan), state), (), torch.tensor([1]), END, 4)
