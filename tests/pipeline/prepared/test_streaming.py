"""Windows from disk against `make_windows` in memory, and the arithmetic of their order."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.stream_plan import Place, StreamPlan
from charflow.pipeline.prepared.streaming import naming_shards, plan_stream, stream_windows
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.windows import Share, count_windows, make_windows

few = settings(max_examples=8)
TRAIN = 301  # characters


def prepare_distinct(folder: Path, shard_size: int) -> PreparedCorpus:
    """A training text of 300 distinct characters and a separator, so that a character tells where it stands."""
    text = "".join(chr(0x4E00 + i) for i in range(TRAIN - 1))
    tail = "held out" * 14  # long enough to be held out by itself
    (folder / "chat.csv").write_text(f"fromUser.id,text\na,{text}\na,{tail}\n")
    chat = str(folder / "chat.csv")
    return prepare_corpus(chat, CorpusSettings(held_out=0.5), folder / "to", shard_size=shard_size)


@pytest.fixture(scope="module")
def distinct(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare_distinct(tmp_path_factory.mktemp("distinct"), 29)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> PreparedCorpus:
    """The sample chat, in ids of one byte."""
    return prepare_corpus(sample_chat, CorpusSettings(), tmp_path_factory.mktemp("chat"), shard_size=10_000)


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[Callable[[Path], object]], PreparedCorpus]:
    """Prepares a corpus, opens it, and then damages its shard 3."""

    def prepare(damage: Callable[[Path], object]) -> PreparedCorpus:
        prepared = PreparedCorpus.open(prepare_distinct(tmp_path, 29).folder)
        damage(prepared.files.path(3))
        return prepared

    return prepare


def steps(prepared: PreparedCorpus, count: int, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first `count` elements."""
    return list(islice(stream_windows(prepared, **options).as_numpy_iterator(), count))


def starts(prepared: PreparedCorpus, count: int, **options) -> list[list[int]]:
    """Where the windows of the first `count` elements start in the distinct text."""
    ids = prepared.read(0, prepared.split)
    place = {int(id_): start for start, id_ in enumerate(ids)}
    return [[place[id_] for id_ in inputs[:, 0].tolist()] for inputs, _ in steps(prepared, count, **options)]


@st.composite
def cuts(draw: st.DrawFn) -> dict[str, int]:
    """Window length, shift, batch size, seed and memory, small enough for many blocks and groups."""
    cut = {
        "length": draw(st.integers(1, 40)),
        "shift": draw(st.integers(1, 12)),
        "batch_size": draw(st.integers(1, 6)),
        "shuffle_seed": draw(st.integers(-(2**31), 2**31)),
    }
    rows = cut["batch_size"] - 1 - (-(cut["length"] + 1) // cut["shift"])
    least = 4 * 2 * rows * cut["shift"]  # of one block, 2 bytes an id
    return {**cut, "memory": least * draw(st.integers(1, 9))}


@pytest.mark.slow
@few
@given(cut=cuts(), targets=st.sampled_from(["next", "all"]))
def test_stream_has_every_window_of_make_windows_once_an_epoch(
    distinct: PreparedCorpus, cut: dict[str, int], targets: str
) -> None:
    shape = {"length": cut["length"], "shift": cut["shift"]}
    windows = {
        int(inputs[0, 0]): (inputs[0].tolist(), expected[0].tolist())
        for inputs, expected in make_windows(
            distinct.load().train_ids, **shape, batch_size=1, targets=targets
        ).as_numpy_iterator()
    }
    plan = plan_stream(distinct, **cut)
    assert plan.windows == len(windows) == count_windows(TRAIN, **shape)
    epoch = steps(distinct, plan.steps_per_epoch, targets=targets, **cut)
    rows = [(row.tolist(), target.tolist()) for inputs, expected in epoch for row, target in zip(inputs, expected)]
    assert all(windows[row[0]] == (row, target) for row, target in rows)
    assert len({row[0] for row, _ in rows}) == len(rows) == len(windows) // cut["batch_size"] * cut["batch_size"]


@pytest.mark.slow
@few
@given(cut=cuts(), first_step=st.integers(0, 500), workers=st.integers(1, 3), replicas=st.integers(1, 3))
def test_stream_continues_exactly_at_first_step_on_any_number_of_replicas(
    distinct: PreparedCorpus, cut: dict[str, int], first_step: int, workers: int, replicas: int
) -> None:
    batch = cut["batch_size"] * workers * replicas
    rows = batch - 1 - (-(cut["length"] + 1) // cut["shift"])
    cut = {**cut, "batch_size": batch, "memory": 4 * 2 * rows * cut["shift"]}
    assume(batch <= count_windows(TRAIN, length=cut["length"], shift=cut["shift"]))
    first_step %= 3 * plan_stream(distinct, **cut).steps_per_epoch
    whole = starts(distinct, first_step + 4, **cut)[first_step:]
    shares = [
        starts(
            distinct,
            4 * replicas,
            **cut,
            first_step=first_step,
            share=Share(first=worker * replicas, count=replicas, total=workers * replicas),
        )
        for worker in range(workers)
    ]
    joined = [
        [start for share in shares for element in share[step * replicas : (step + 1) * replicas] for start in element]
        for step in range(4)
    ]
    assert joined == whole


@st.composite
def plans(draw: st.DrawFn) -> StreamPlan:
    """Any plan, of a text too long to be there too."""
    batch = draw(st.integers(1, 9))
    block = batch * draw(st.integers(1, 5))
    windows = draw(st.integers(batch, 40 * block))
    return StreamPlan(windows, 4, 3, batch, block, draw(st.integers(1, 12)), draw(st.integers(0, 99)))


def groups_of(plan: StreamPlan, epoch: int) -> list[list[int]]:
    return [plan.blocks_of(np.int64(epoch), np.int64(group)).numpy().tolist() for group in range(plan.groups)]


@pytest.mark.slow
@few
@given(plan=plans(), epoch=st.integers(0, 3))
def test_plan_places_every_step_of_an_epoch_one_after_the_other(plan: StreamPlan, epoch: int) -> None:
    groups = groups_of(plan, epoch)
    assert sorted(block for group in groups for block in group) == list(range(plan.blocks))
    sizes = [
        sum(min(plan.block_windows, plan.windows - block * plan.block_windows) for block in group) for group in groups
    ]
    assert [int(plan.windows_in(np.array(group))) for group in groups] == sizes
    expected = [
        Place(epoch, group, step) for group, size in enumerate(sizes) for step in range(size // plan.batch_size)
    ]
    first = epoch * plan.steps_per_epoch
    assert [plan.place_of(first + step) for step in range(plan.steps_per_epoch)] == expected


@few
@given(plan=plans(), epoch=st.integers(0, 2**31))
def test_plan_orders_the_windows_of_a_group_by_a_permutation(plan: StreamPlan, epoch: int) -> None:
    size = plan.windows_in(plan.blocks_of(np.int64(epoch), np.int64(0)))
    order = plan.windows_at(np.int64(epoch), np.int64(0), size, np.arange(int(size)))
    assert sorted(order.numpy().tolist()) == list(range(int(size)))


@given(
    characters=st.integers(1000, 10**13),
    itemsize=st.sampled_from([1, 2]),
    length=st.integers(1, 200),
    shift=st.integers(1, 200),
    batch_size=st.integers(1, 500),
    memory=st.integers(2**20, 2**34),
)
def test_plan_keeps_to_the_memory(
    characters: int, itemsize: int, length: int, shift: int, batch_size: int, memory: int
) -> None:
    assume(characters > length + batch_size * shift)
    plan = StreamPlan.of(characters, itemsize, length=length, shift=shift, batch_size=batch_size, seed=0, memory=memory)
    assert plan.block_windows % batch_size == 0
    assert plan.group_blocks * plan.block_rows * shift * itemsize <= memory // 4


@pytest.mark.slow
def test_stream_shuffles_each_epoch_and_each_seed_anew(distinct: PreparedCorpus) -> None:
    options = {"length": 5, "shift": 1, "batch_size": 8, "memory": 1000}
    plan = plan_stream(distinct, **options)
    assert (plan.windows, plan.blocks, plan.groups) == (296, 37, 5)
    made = starts(distinct, 3 * 37, shuffle_seed=1, **options)
    epochs = [[start for batch in made[epoch * 37 : (epoch + 1) * 37] for start in batch] for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(296))] * 3
    assert len({tuple(epoch) for epoch in [*epochs, range(296)]}) == 4
    assert starts(distinct, 9, shuffle_seed=1, **options) == made[:9]
    assert starts(distinct, 9, shuffle_seed=2, **options) != made[:9]


@pytest.mark.slow
def test_stream_mixes_places_of_the_whole_text_in_a_group(distinct: PreparedCorpus) -> None:
    made = starts(distinct, 1, length=5, shift=1, batch_size=32, memory=1 << 20)
    assert max(made[0]) - min(made[0]) > 200


@pytest.mark.slow
def test_stream_of_one_byte_ids_equals_make_windows(chat: PreparedCorpus) -> None:
    ids = chat.load().train_ids
    options = {"length": 64, "shift": 16}
    streamed = steps(chat, 3, batch_size=500, targets="all", **options)
    everything = {
        inputs[0].tobytes(): targets[0].tobytes()
        for inputs, targets in make_windows(ids, batch_size=1, targets="all", **options).as_numpy_iterator()
    }
    for inputs, targets in streamed:
        assert inputs.dtype == targets.dtype == np.uint8
        assert inputs.shape == targets.shape == (500, 64)
        assert all(everything[row.tobytes()] == target.tobytes() for row, target in zip(inputs, targets))


@pytest.mark.slow
@pytest.mark.parametrize(("targets", "shape"), [("next", [4]), ("all", [4, 5])])
def test_stream_declares_its_shapes(distinct: PreparedCorpus, targets: str, shape: list[int]) -> None:
    dataset = stream_windows(distinct, length=5, batch_size=8, share=Share(count=2, total=2), targets=targets)
    assert [part.shape.as_list() for part in dataset.element_spec] == [[4, 5], shape]
    assert [part.dtype for part in dataset.element_spec] == [np.uint16, np.uint16]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "has changed since it was prepared"),
        (lambda path: path.write_bytes(b"short"), "has 5 bytes and not the 58 of its manifest"),
        (lambda path: path.unlink(), "is missing"),
    ],
    ids=["flipped byte", "cut", "missing"],
)
def test_stream_names_a_damaged_shard(damage: Callable, message: str, damaged: Callable) -> None:
    prepared = damaged(damage)
    with pytest.raises(UserError) as error, naming_shards(prepared):
        steps(prepared, 20, length=5, batch_size=8)
    assert str(error.value).startswith(f"{prepared.files.path(3)} {message}")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_stream_names_a_shard_that_goes_while_it_trains(distinct: PreparedCorpus, damaged: Callable) -> None:
    prepared = damaged(lambda path: None)
    options = {"length": 5, "shift": 1, "batch_size": 8, "memory": 1000}
    with pytest.raises(UserError, match=r"shard-00003\.ids is missing"), naming_shards(prepared):
        for step, _ in enumerate(stream_windows(prepared, **options)):
            if step == 40:
                prepared.files.path(3).unlink()
            assert step < 150


def test_naming_shards_lets_other_errors_through(distinct: PreparedCorpus) -> None:
    with pytest.raises(KeyError), naming_shards(distinct):
        raise KeyError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, r"^length must be at least 1, not 0\.$"),
        ({"length": 301}, r"^The text has 301 characters: too short for one window of 301 "),
        ({"batch_size": 0}, r"^batch_size must be at least 1, not 0\.$"),
        ({"batch_size": 1000}, r"^99 windows cannot fill a batch of 1,000\.$"),
        ({"batch_size": 9, "share": Share(total=2)}, r"^A batch of 9 cannot be cut into 2 equal parts\.$"),
        ({"first_step": -1}, r"^first_step must be at least 0, not -1\.$"),
        ({"targets": "last"}, r"^targets must be next or all, not 'last'\.$"),
        ({"memory": 100}, r"^Streaming batches of 8 windows needs 216 bytes of memory, not 100\.$"),
    ],
    ids=[
        "length",
        "short text",
        "batch size",
        "no full batch",
        "unequal shares",
        "first step",
        "targets",
        "memory",
    ],
)
def test_stream_refuses_when_called(options: dict, message: str, distinct: PreparedCorpus) -> None:
    with pytest.raises(UserError, match=message):
        stream_windows(distinct, **{"length": 5, "batch_size": 8, **options})


@pytest.mark.slow
def test_stream_of_replies_has_the_windows_of_memory(sample_chat: str, tmp_path: Path) -> None:
    settings = CorpusSettings(users=("mira",), text=TextSettings(reply=True))
    prepared = prepare_corpus(sample_chat, settings, tmp_path / "to", shard_size=3000)
    cut = {"length": 20, "shift": 3, "batch_size": 8, "targets": "all"}
    windows = make_windows(prepared.load().train_ids, **cut, drop_remainder=True)
    expected = {
        inputs.tobytes() + targets.tobytes()
        for batch in windows.as_numpy_iterator()
        for inputs, targets in zip(*batch, strict=True)
    }
    epoch = steps(prepared, plan_stream(prepared, length=20, shift=3, batch_size=8).steps_per_epoch, **cut)
    found = [inputs.tobytes() + targets.tobytes() for batch in epoch for inputs, targets in zip(*batch, strict=True)]
    assert any(inputs.max() >= prepared.vocabulary.size for inputs, _ in epoch)
    assert len(set(found) - expected) <= 8  # those of the last batch, which differs
    assert len(set(found)) > 0.9 * len(expected)
