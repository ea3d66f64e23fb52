"""A training that stops goes on from its file, bit by bit the same whenever and wherever it does."""

import pytest
import torch

from advisor.training.config import TrainConfig
from advisor.training.loop import train
from advisor.training.progress import Progress
from advisor.training.rows import row_batches
from tests.advisor.search.test_train import rows, tiny_model

CONFIG = TrainConfig(max_steps=24, looks=8)


def rung(model, scores, **more):
    config = CONFIG.model_copy(update={"until": 1.0 if "goes_on" in more else 0.5})
    batches = row_batches(rows(), config, "cpu")
    return train("classify", model, batches, config, seed=3, judge=lambda: next(scores), higher_is_better=True, **more)


@pytest.mark.parametrize("family", ["conv", "gru"])
def test_going_on_from_the_file_equals_going_on_again_from_the_file_in_another_process(family, tmp_path):
    first = tmp_path / "a.safetensors"
    rung(tiny_model(family), iter([0.1, 0.2, 0.3, 0.4]), keep=first)
    ends = []
    for name in ("b", "c"):
        torch.manual_seed(hash(name) % 1000)  # whatever another process has drawn
        model = tiny_model(family)
        kept = tmp_path / f"{name}.safetensors"
        done = rung(model, iter([0.5, 0.6, 0.2, 0.1]), goes_on=first, keep=kept)
        ends.append((model, kept.read_bytes()[-4000:], [(p.step, p.quality, p.train_loss) for p in done.curve]))
    assert ends[0][1:] == ends[1][1:]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][0].parameters(), ends[1][0].parameters(), strict=True))
    assert [p[0] for p in ends[0][2]] == [3, 6, 9, 12, 15, 18, 21, 24]


def test_the_file_holds_all_that_the_training_does(tmp_path):
    model = tiny_model()
    made = []

    def remember(self, path):
        made.append(self)
        return original(self, path)

    original = Progress.save
    Progress.save = remember
    try:
        rung(model, iter([0.4, 0.9, 0.3, 0.2]), keep=tmp_path / "p.safetensors")
    finally:
        Progress.save = original
    (at,) = made
    fresh = tiny_model()
    optimiser = torch.optim.AdamW(fresh.parameters())
    again = Progress(fresh, optimiser, torch.Generator(), [p.detach().clone() for p in fresh.parameters()])
    again.load(tmp_path / "p.safetensors")
    assert (again.step, again.best, again.curve) == (at.step, 0.9, at.curve)
    assert torch.equal(again.generator.get_state(), at.generator.get_state())
    pairs = [*zip(again.average, at.average, strict=True), *zip(again.best_weights, at.best_weights, strict=True)]
    assert all(torch.equal(a, b) for a, b in pairs)
    for mine, theirs in zip(again.live, at.live, strict=True):
        assert all(torch.equal(v, at.optimiser.state[theirs][k]) for k, v in optimiser.state[mine].items())


def test_the_best_of_an_earlier_rung_is_kept_where_no_later_one_is_better(tmp_path):
    rung(tiny_model(), iter([0.1, 0.2, 0.3, 0.9]), keep=tmp_path / "p.safetensors")
    first, second = tiny_model(), tiny_model()
    rung(first, iter([0.1, 0.2, 0.3, 0.9]))
    done = rung(second, iter([0.1, 0.2, 0.3, 0.4]), goes_on=tmp_path / "p.safetensors")
    assert done.best == 0.9
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
