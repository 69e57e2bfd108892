"""Networks of a user's own: found by name, known by their shapes, refused where no image has a gradient of its own."""

import sys

import pytest
import torch

from cnndp.papers.presets import preset
from cnndp.runs import experiment, replay, store
from cnndp.training import own
from cnndp.training.config import Config
from cnndp.training.loop import train

pytestmark = pytest.mark.slow

SOURCE = """
from torch import nn
def network(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.Tanh(), nn.Linear(8, num_classes))
def normed(num_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(196, num_classes))
def batch_norm(num_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(num_classes))
def dropout(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, num_classes))
def narrow(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes - 1))
def colour(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))
def nothing(num_classes):
    return None
text = "no function"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file of a user's networks, importable as `mine`."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield path
    sys.modules.pop("mine", None)


def private(model, num_steps=3, **changes):
    described = own.described(model, num_classes=10)
    polyak = {"mechanism": "gaussian", "target_epsilon": 3.0, "batch_size": 20}
    return preset("cnn_dp_gan_polyak", "private", "digits", num_steps, **polyak, **described, **changes)


@pytest.mark.parametrize("name", ["network", "normed"])
def test_a_network_of_ones_own_trains_with_the_private_polyak_step(mine, few, name):
    config = private(f"mine:{name}")
    outcome = train(config, few)
    assert outcome.status == "finished"
    assert len(outcome.weights) == sum(parameter.numel() for parameter in outcome.model.parameters())
    again = train(config, few)
    assert torch.equal(outcome.weights, again.weights)
    other = train(config.replace(seed=1), few)
    assert not torch.equal(outcome.weights, other.weights)


def test_initial_weights_come_from_the_seed_and_torchs_own_state_is_left_alone(mine):
    before = torch.random.get_rng_state()
    first, second = (own.build("mine:network", 10, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(first[1].weight, second[1].weight)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_digest_holds_the_name_and_the_shapes(mine):
    config = private("mine:network")
    assert config.model_shapes == "1.weight [8, 784], 1.bias [8], 3.weight [10, 8], 3.bias [10]"
    assert config.digest != config.replace(model="mine:other").digest
    assert config.digest != config.replace(model_shapes="1.weight [9, 784]").digest
    assert Config.from_dict(config.to_dict()) == config


def test_a_network_that_has_changed_its_shapes_since_it_was_planned_is_not_trained(mine, few):
    with pytest.raises(ValueError, match=r"has the parameters 1.weight .*planned with; plan it again"):
        train(private("mine:network").replace(model_shapes="1.weight [9, 784]"), few)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mine:dropout", "has a Dropout, whose draws have no seed"),
        ("mine:nothing", "returned a NoneType; let it return an nn.Module"),
        ("mine:text", "is a str; pass a function"),
        ("mine:netwrk", r"cannot be found \(module 'mine' has no attribute 'netwrk'\)"),
        ("nowhere:network", r"cannot be found \(No module named 'nowhere'\)"),
        (":network", "cannot be found"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_name_and_the_remedy(mine, model, message):
    with pytest.raises(ValueError, match=f"^model={model!r} {message}"):
        own.described(model, num_classes=10)


def test_a_layer_that_mixes_the_images_of_a_batch_is_refused(mine):
    with pytest.raises(ValueError, match=r"\(BatchNorm2d\) uses statistics of the whole batch"):
        own.described("mine:batch_norm", num_classes=10)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mine:narrow", r"gives outputs of shape \[2, 9\] for 2 images; it needs \[2, 10\]"),
        ("mine:colour", r"cannot take images of shape \[1, 28, 28\]"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused_before_the_first_step(mine, few, model, message):
    with pytest.raises(ValueError, match=message):
        train(private(model), few)


def test_a_record_holds_the_hash_of_the_source_and_replay_refuses_another_one(mine, monkeypatch, tmp_path, digits):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path / "results"))
    chosen = {"model": "mine:network", "methods": ["cnn_dp_gan_polyak"], "num_steps": 2}
    study = experiment.prepare("private_fig07_08", **chosen)
    record = experiment.run(study)[0].record
    assert record["provenance"]["model_sha256"] == own.source_sha256("mine:network")
    assert record["config"]["model_shapes"]
    assert replay.replay(record, digits) == []
    mine.write_text(SOURCE.replace("nn.Tanh", "nn.ReLU"), encoding="utf-8")
    with pytest.raises(store.RecordError, match="made with another source of model='mine:network'"):
        replay.replay(record, digits)


def test_a_network_of_this_package_has_no_source_hash(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    study = experiment.prepare("fig07_ablation", methods=["cnn"], num_steps=1)
    assert "model_sha256" not in experiment.run(study)[0].record["provenance"]
