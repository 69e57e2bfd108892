"""The benchmark: its variants really train as they say, its numbers are paired, and its tables follow from records."""

import re

import pytest
import torch
from click.testing import CliRunner
from rows import narrow

from cnndp.__main__ import main
from cnndp.bench import cost, plots, timing
from cnndp.bench.timing import VARIANTS, available, part_of, path_for, problem, take_turns
from cnndp.equations.losses import cross_entropy
from cnndp.report.figures import drawing
from cnndp.runs import store
from cnndp.training.clipping import example_clipped_sum
from cnndp.training.gradients import batch_gradient, flatten

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
OPACUS_WARNS = pytest.mark.filterwarnings("ignore:Full backward hook is firing")
EVERY_VARIANT = pytest.mark.parametrize("name", VARIANTS)


def row(variant, milliseconds, network="mnist_cnn", batch_size=250, memory=10):
    return {
        "network": network,
        "batch_size": batch_size,
        "variant": variant,
        "ms_per_step": milliseconds,
        "peak_memory_mb": memory,
    }


@pytest.fixture
def record():
    """A benchmark made up by hand: the second turn was slow for everybody."""
    times = {"SGD": [10.0, 20.0, 10.0], "SGD, channels last": [5.0, 10.0, 5.0], "Opacus, hooks": [40.0, 80.0, 40.0]}
    rows = [row(name, values, network) for network in timing.NETWORKS for name, values in times.items()]
    rows += [row("fast, L2", [12.0, 24.0, 12.0]), row("fast, L2", [30.0, 60.0, 30.0], "cifar_cnn")]
    made = {
        "threads": 2,
        "torch": "2.15.0",
        "device": "CPU (x86_64)",
        "python": "3.11",
        "commit": "abc",
        "date": "today",
    }
    parts = dict.fromkeys([*timing.PARTS, timing.OTHER], 1.0)
    profile = [
        {"network": network, "batch_size": 250, "variant": "fast, L2", "ms": parts} for network in timing.NETWORKS
    ]
    return {
        "kind": "benchmark",
        "rows": rows,
        "profile": profile,
        "processor": "Some CPU",
        "opacus": "1.6.0",
        "provenance": made,
    }


# The variants


@OPACUS_WARNS
@EVERY_VARIANT
@pytest.mark.parametrize("network", timing.NETWORKS)
def test_every_variant_takes_steps(name, network):
    if name not in available():
        pytest.skip("Opacus is not installed")
    given = problem(network, 3, CPU)
    step = VARIANTS[name](given)
    before = flatten(given.model)
    step()
    step()
    moved = not torch.equal(flatten(given.model), before)
    assert moved == name.startswith(("SGD", "Opacus"))  # ours keep the weights in a vector, the floor does not move


@OPACUS_WARNS
def test_the_clipped_sum_is_the_one_that_opacus_computes(monkeypatch):
    """Without noise and with a learning rate of 1, a step of Opacus is minus its clipped sum over B."""
    pytest.importorskip("opacus")
    from opacus import grad_sample, optimizers

    given = problem("mnist_cnn", 12, CPU)
    before = flatten(given.model)
    ours = example_clipped_sum(
        given.model, before, given.inputs, given.labels, cross_entropy, clip_norm=0.7, order=2, engine="fast"
    )
    plain = batch_gradient(given.model, before, given.inputs, given.labels, cross_entropy)[1]
    model = grad_sample.GradSampleModule(given.model)
    base = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer = optimizers.DPOptimizer(base, noise_multiplier=0.0, max_grad_norm=0.7, expected_batch_size=12)
    torch.nn.CrossEntropyLoss()(model(given.inputs), given.labels).backward()
    optimizer.step()
    theirs = before - flatten(given.model)
    assert plain.norm() > 1.5 * ours.total.norm()  # the clip bites
    # Opacus clips with C / (norm + 1e-6), hence not to the last digit.
    torch.testing.assert_close(theirs * 12, ours.total, rtol=1e-4, atol=1e-5)


def test_turns_alternate_and_every_variant_has_as_many(monkeypatch):
    order = []
    steps = {name: (lambda given, name=name: lambda: order.append(name)) for name in ("a", "b")}
    monkeypatch.setattr(timing, "VARIANTS", steps)
    monkeypatch.setattr(timing, "seconds_of", lambda step, count, device: step() or 1.0)
    times = take_turns("mnist_cnn", 2, CPU, 3, lambda: None)
    assert order == ["a", "b"] * 4  # one round to learn how long a step takes, then three turns
    assert times == {"a": [1000.0] * 3, "b": [1000.0] * 3}


def test_memory_is_what_steps_add():
    small, large = (timing.peak_memory_mb("cifar_cnn", size, "SGD", CPU) for size in (16, 256))
    if small is None:
        pytest.skip("this system does not tell the peak of a process")
    assert large > 60  # the first layer's output alone is 32 MiB, and it is kept with its derivative
    assert small < large / 3


@pytest.mark.parametrize(
    ("operator", "part"),
    [
        ("aten::convolution_backward", "passes: convolutions"),
        ("aten::bmm", "products for norms"),
        ("aten::mm", "linear layers, weighted sums"),
        ("aten::tanh_backward", "passes: activations, loss"),
        ("something of tomorrow", timing.OTHER),
    ],
)
def test_operators_are_sorted_by_what_they_are_for(operator, part):
    assert part_of(operator) == part


def test_a_profile_adds_up():
    found = timing.profile("mnist_cnn", 8, "fast, L2", CPU)
    assert set(found["ms"]) == {*timing.PARTS, timing.OTHER}
    assert found["ms"]["passes: convolutions"] > 0
    assert found["ms"]["products for norms"] > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@EVERY_VARIANT
def test_every_variant_takes_steps_on_a_gpu(name):
    device = torch.device("cuda")
    assert min(take_turns("mnist_cnn", 250, device, 2, lambda: None)[name]) > 0
    assert timing.peak_memory_mb("mnist_cnn", 250, name, device) >= 0


# Records and tables


def test_ratios_are_taken_turn_by_turn(record):
    assert cost.ratios(record, "mnist_cnn", 250, "fast, L2", "SGD") == pytest.approx([1.2, 1.2, 1.2])
    assert cost.ratios(record, "mnist_cnn", 250, "Opacus, ghost", "SGD") == []


def test_targets_are_judged_by_the_record(record):
    lines = cost.targets_table(record).splitlines()[2:]
    assert [line.split(" | ")[-1].strip(" |") for line in lines] == ["reached", "reached", "missed"]
    assert "1.20 (1.20 to 1.20)" in lines[0]
    assert "3.33 (3.33 to 3.33)" in lines[1]
    assert "3.00 (3.00 to 3.00)" in lines[2]


def test_the_tables_hold_every_variant_that_was_measured(record):
    text = narrow(cost.all_tables(record))
    assert text.count("| fast, L2 |") == text.count("| Opacus, hooks |") == 2
    assert "Opacus, ghost" not in text
    assert "| fast, L2 | 12.00 (12.00 to 18.00) | 1.20 (1.20 to 1.20) | 2.40 (2.40 to 2.40) | 10 |" in text


def test_the_machine_is_named(record):
    assert "**Some CPU**, 2 threads; torch 2.15.0, Opacus 1.6.0" in cost.machine(record)


def test_what_no_gpu_has_measured_is_said_to_be_open(record, tmp_path):
    store.save(record, path_for(tmp_path, record))
    assert "Not yet run" in cost.gpu_note(tmp_path)
    fast = {**record, "processor": "Some GPU", "provenance": {**record["provenance"], "device": "Some GPU"}}
    store.save(fast, path_for(tmp_path, fast))
    assert "Some GPU, 26,010-parameter network, B = 250: 3.3 (3.3 to 3.3) times as fast" in cost.gpu_note(tmp_path)
    assert [path.name for path in cost.stored(tmp_path)] == ["some-cpu-2-threads.json", "some-gpu.json"]


def test_a_changed_benchmark_is_refused(record, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    path = store.save(record, path_for(tmp_path, record))
    given = {"machine": "some-cpu-2-threads", "measure": False, "repeats": 2, "device": "cpu"}
    assert cost.from_notebook(given)["rows"] == record["rows"]
    with pytest.raises(ValueError, match="machine='some-cpu-2-thread' is not known; did you mean 'some-cpu-2-threads'"):
        cost.from_notebook({**given, "machine": "some-cpu-2-thread"})
    path.write_text(path.read_text().replace("12.0", "11.0", 1))
    with pytest.raises(store.RecordError, match="was changed after it was written"):
        cost.from_notebook(given)


def test_the_live_check_can_fail(monkeypatch):
    assert cost.engines_agree(3).endswith(": pass")
    original = cost.example_clipped_sum

    def layer_forgotten(*arguments, **options):
        summed = original(*arguments, **options)
        return summed._replace(total=torch.cat([summed.total[:-10], torch.zeros(10)]))

    monkeypatch.setattr(cost, "example_clipped_sum", layer_forgotten)
    assert "FAIL: relative difference" in cost.engines_agree(3)


def test_figures_are_drawn_from_the_record_alone(record):
    panels = plots.costs(record, batch_sizes=(250,)).axes
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        "SGD",
        "SGD, channels last",
        "fast, L2",
        "Opacus, hooks",
    ]
    assert [patch.get_width() for patch in panels[0].patches][:4] == pytest.approx([1.0, 0.5, 1.2, 4.0])
    bars = plots.step_parts(record).axes[0].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(200)  # two bars of 100 %
    assert drawing.png(plots.step_parts(record))[:4] == b"\x89PNG"


def test_the_command_measures_stores_and_prints(monkeypatch, tmp_path, record):
    monkeypatch.setenv("CNNDP_RESULTS", str(tmp_path))
    seen = []
    monkeypatch.setattr(timing, "measure", lambda device, repeats: seen.append((device, repeats)) or record)
    finished = CliRunner().invoke(main, ["bench", "--device", "cpu", "--repeats", "3"])
    assert finished.exit_code == 0, finished.output
    assert seen == [(CPU, 3)]
    assert re.search(r"written to .*own.benchmark-some-cpu-2-threads\.json", finished.output)
    assert "| reached |" in finished.output
    given = {"machine": "some-cpu-2-threads", "measure": False, "repeats": 2, "device": "cpu"}
    assert cost.from_notebook(given)["processor"] == record["processor"]  # a user's own has its place
    assert cost.stored(tmp_path) == []  # and is not what the book shows
    assert CliRunner().invoke(main, ["bench", "--device", "cpu", "--book"]).exit_code == 0
    assert [path.name for path in cost.stored(tmp_path)] == ["some-cpu-2-threads.json"]
