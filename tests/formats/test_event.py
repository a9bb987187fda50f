"""Events to points, by hand-made protos; TensorBoard's own protos write what is decoded."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats import layerstats, wire
from monitor.formats.bulk import Block
from monitor.formats.event import EventDecoder
from monitor.formats.layerstats import Header, Table
from monitor.formats.tfrecord import encode
from monitor.points import Batch, Points, SeriesKey

pytest.importorskip("tensorboard")

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.util import tensor_util

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def event(step: int, *values: Summary.Value, wall: float = 100.0) -> bytes:
    payload: bytes = Event(
        step=step, wall_time=wall, summary=Summary(value=values)
    ).SerializeToString()
    return payload


def simple(tag: str, number: float) -> Summary.Value:
    return Summary.Value(tag=tag, simple_value=number)


def tensor(tag: str, proto: TensorProto, plugin: str | None = "scalars") -> Summary.Value:
    value = Summary.Value(tag=tag, tensor=proto)
    if plugin is not None:
        value.metadata.plugin_data.plugin_name = plugin
    return value


@pytest.fixture(params=["few", "many"], autouse=True)
def regime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of payloads does not depend on how many are decoded at once."""
    monkeypatch.setitem(REGIME, "many", request.param == "many")


REGIME = {"many": False}


def read(decoder: EventDecoder, payloads: Sequence[bytes]) -> Batch:
    if not REGIME["many"] or not payloads:
        return decoder.decode(payloads)
    data = b"".join(map(encode, payloads))
    ends = np.cumsum([len(payload) + 16 for payload in payloads]) - 4
    starts = ends - [len(payload) for payload in payloads]
    return decoder.decode_block(Block(data, starts, ends))


def decode(*payloads: bytes) -> Batch:
    return read(EventDecoder("run", "file"), payloads)


def nothing(batch: Batch) -> bool:
    return not (batch.columns or batch.facts or batch.ended or len(batch.events.steps))


def columns(batch: Batch) -> Mapping[str, Sequence[tuple[int, float]]]:
    return {p.key.tag: list(zip(p.steps, p.values, strict=True)) for p in batch.points}


def test_scalars_become_columns_in_order_of_first_sight() -> None:
    batch = decode(
        event(1, simple("loss", 0.5), wall=10),
        event(1, simple("acc", 0.25), simple("lr", 2.0), wall=11),
        event(2, simple("loss", 0.75), wall=12),
    )
    assert [p.key for p in batch.points] == [SeriesKey("run", t) for t in ("loss", "acc", "lr")]
    loss = batch.points[0]
    assert loss.writer == "file"
    dtypes = [str(a.dtype) for a in (loss.steps, loss.wall_times, loss.clock, loss.values)]
    assert dtypes == ["int64", "float64", "float64", "float64"]
    assert loss.steps.tolist() == [1, 2]
    assert loss.wall_times.tolist() == loss.clock.tolist() == [10, 12]
    assert loss.values.tolist() == [0.5, 0.75]
    assert not batch.ended
    assert not batch.facts


def test_nothing_in_nothing_out() -> None:
    assert nothing(decode())


def test_batches_do_not_share() -> None:
    decoder = EventDecoder("run", "file")
    first = read(decoder, [event(1, simple("loss", 1))])
    second = read(decoder, [event(2, simple("loss", 2))])
    assert columns(first) == {"loss": [(1, 1.0)]}
    assert columns(second) == {"loss": [(2, 2.0)]}


STEPS = [0, 1, 127, 128, 300, 16384, 2**21, 2**31, 2**62, 2**63 - 1, -1, -(2**63)]


def test_steps_of_any_size() -> None:
    values = [event(step, simple("x", 1)) for step in STEPS for _ in range(3)]
    assert decode(*values).points[0].steps.tolist() == [s for s in STEPS for _ in range(3)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-42])
def test_values_of_any_kind(number: float) -> None:
    got = decode(*[event(1, simple("x", number))] * 3).points[0].values
    np.testing.assert_array_equal(got, np.full(3, np.float32(number), float))


def test_a_missing_wall_time_is_zero() -> None:
    points = decode(event(3, simple("x", 1), wall=0)).points[0]
    assert points.wall_times.tolist() == points.clock.tolist() == [0.0]


# --- the clock ----------------------------------------------------------------------------


def test_the_clock_runs_over_all_points_of_the_writer() -> None:
    decoder = EventDecoder("run", "file")
    nan, inf = math.nan, math.inf
    first = read(decoder, [event(i, simple("x", 1), wall=w) for i, w in enumerate([nan, 5, inf])])
    assert first.points[0].clock.tolist() == [0, 5, 5]
    version = Event(wall_time=20.0, file_version="brain.Event:2").SerializeToString()
    second = read(decoder, [version, event(4, simple("y", 1), wall=4)])
    assert second.points[0].wall_times.tolist() == [4]
    assert second.points[0].clock.tolist() == [5]


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=30), st.integers(1, 5))
def test_the_clock_never_goes_back(walls: list[float], piece: int) -> None:
    decoder = EventDecoder("run", "file")
    payloads = [event(i, simple("x", 1), wall=w) for i, w in enumerate(walls)]
    clock: list[float] = []
    for at in range(0, len(payloads), piece):
        clock += read(decoder, payloads[at : at + piece]).points[0].clock.tolist()
    expected, latest = [], 0.0
    for wall in walls:
        latest = max(latest, wall) if math.isfinite(wall) else latest
        expected.append(latest)
    assert clock == expected


# --- tensors ------------------------------------------------------------------------------

TYPES = {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8,
    9: np.int64, 10: np.bool_, 17: np.uint16, 19: np.float16, 22: np.uint32, 23: np.uint64,
}  # fmt: skip
LISTS = {
    1: "float_val", 2: "double_val", 3: "int_val", 4: "int_val", 5: "int_val", 6: "int_val",
    9: "int64_val", 10: "bool_val", 17: "int_val", 22: "uint32_val", 23: "uint64_val",
}  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("number", [0, 1, 2, 100, -3, 0.1])
def test_tensor_content(dtype: int, shape: tuple[int, ...], number: float) -> None:
    kind = TYPES[dtype]
    number = abs(number) if np.dtype(kind).kind in "ub" else number
    array: Array = np.full(shape, number).astype(kind)
    dims = [TensorShapeProto.Dim(size=size) for size in shape]
    proto = TensorProto(
        dtype=dtype, tensor_shape=TensorShapeProto(dim=dims), tensor_content=array.tobytes()
    )
    assert columns(decode(event(7, tensor("x", proto)))) == {"x": [(7, float(array.item()))]}


@pytest.mark.parametrize("dtype", LISTS)
@pytest.mark.parametrize("number", [0, 1, 100, -3, 0.1])
def test_tensor_lists(dtype: int, number: float) -> None:
    kind = TYPES[dtype]
    number = abs(number) if np.dtype(kind).kind in "ub" else number
    array: Array = np.array(number).astype(kind)
    item = array.item()
    proto = TensorProto(dtype=dtype, **{LISTS[dtype]: [item]})
    assert columns(decode(event(7, tensor("x", proto)))) == {"x": [(7, float(item))]}
    if dtype not in (22, 23):  # TensorBoard cannot read these.
        assert tensor_util.make_ndarray(proto).item() == item


def test_half_and_bfloat16() -> None:
    half = int(np.array(0.1, np.float16).view(np.uint16))
    protos = [
        TensorProto(dtype=19, half_val=[half]),
        TensorProto(dtype=14, half_val=[0x3FC0]),
        TensorProto(dtype=14, tensor_content=b"\xc0\x3f"),
    ]
    batch = decode(*[event(i, tensor("x", proto)) for i, proto in enumerate(protos)])
    assert batch.points[0].values.tolist() == [float(np.float16(0.1)), 1.5, 1.5]


def test_lists_that_are_not_packed() -> None:
    float_val = wire.field_varint(1, 1) + b"\x2d" + struct.pack("<f", 0.5)
    double_val = wire.field_varint(1, 2) + b"\x31" + struct.pack("<d", 0.5)
    int_val = wire.field_varint(1, 3) + wire.field_varint(7, -5)
    values = [
        wire.field_bytes(1, b"x") + wire.field_bytes(8, body)
        for body in (float_val, double_val, int_val)
    ]
    payloads = [wire.field_bytes(5, wire.field_bytes(1, value)) for value in values]
    assert decode(*payloads, *payloads).points[0].values.tolist() == [0.5, 0.5, -5] * 2


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(dtype=1, float_val=[1, 2]),
        TensorProto(dtype=1),
        TensorProto(dtype=7, string_val=[b"text"]),
        TensorProto(dtype=8, scomplex_val=[1, 2]),
        TensorProto(dtype=99, float_val=[1]),
        TensorProto(dtype=1, tensor_content=b"123"),
        TensorProto(dtype=1, tensor_content=bytes(8)),
        tensor_util.make_tensor_proto(np.zeros(0, np.float32)),
        tensor_util.make_tensor_proto(np.zeros((2, 1), np.float32)),
        TensorProto(),
    ],
)
def test_other_tensors_are_no_scalars(proto: TensorProto) -> None:
    decoder = EventDecoder("run", "file")
    assert read(decoder, [event(1, tensor("x", proto)), event(2, simple("y", 1))]).points[1:] == ()
    assert decoder.unusable == 0


def number(value: float) -> TensorProto:
    return TensorProto(dtype=1, float_val=[value])


def test_the_plugin_named_first_counts_for_later_values_of_the_tag() -> None:
    decoder = EventDecoder("run", "file")
    first = read(decoder, [event(1, tensor("x", number(1)), tensor("c", number(1), "custom"))])
    second = read(decoder, [event(2, tensor("x", number(2), None), tensor("c", number(2), None))])
    third = read(decoder, [event(3, tensor("c", number(3)))])
    assert columns(first) == {"x": [(1, 1)]}
    assert columns(second) == {"x": [(2, 2)]}
    assert columns(third) == {}


def test_without_its_metadata_a_single_number_counts_as_scalar() -> None:
    decoder = EventDecoder("run", "file")
    assert columns(read(decoder, [event(i, tensor("x", number(i), None)) for i in range(3)]))
    late = [event(3, tensor("x", number(3), "custom")), event(4, tensor("x", number(4), None))]
    assert columns(read(decoder, late)) == {}


def test_a_simple_value_is_a_scalar_whatever_its_plugin() -> None:
    value = simple("x", 0.5)
    value.metadata.CopyFrom(
        SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="images"))
    )
    assert columns(decode(event(1, value), event(2, simple("x", 1)))) == {"x": [(1, 0.5), (2, 1)]}


def test_everything_else_is_skipped() -> None:
    decoder = EventDecoder("run", "file")
    hparams = Summary.Value(tag="_hparams_/session_start_info", simple_value=1)
    payloads = [
        event(1, Summary.Value(tag="h", histo=HistogramProto(min=1, bucket=[1, 2]))),
        event(1, Summary.Value(tag="i", image=Summary.Image(height=1, encoded_image_string=b"x"))),
        event(1, Summary.Value(tag="a", audio=Summary.Audio(sample_rate=1))),
        event(1, tensor("t", TensorProto(dtype=7, string_val=[b"md"]), "text")),
        event(1, hparams, tensor("_hparams_/y", number(1))),
        event(1, Summary.Value(tag="empty")),
        Event(graph_def=b"graph").SerializeToString(),
        Event(meta_graph_def=b"graph").SerializeToString(),
        b"",
    ]
    assert read(decoder, payloads).points == ()
    assert decoder.unusable == 0


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [b"\xff" * 9, b"\xff" * 40, b"\x0b\x00", b"\x2a\x05\x0a", b"\x09\x00", b"\x2a\x02\x0a\x09"],
)
def test_a_payload_that_is_no_event_is_counted(payload: bytes) -> None:
    decoder = EventDecoder("run", "file")
    batch = read(decoder, [payload, event(1, simple("x", 1)), payload])
    assert columns(batch) == {"x": [(1, 1)]}
    assert decoder.unusable == 2


def test_of_an_event_that_breaks_off_nothing_counts() -> None:
    whole = event(1, simple("x", 1), simple("y", 2))
    decoder = EventDecoder("run", "file")
    assert nothing(read(decoder, [whole[:-3]]))
    assert decoder.unusable == 1


def test_tags_need_not_be_utf8() -> None:
    value = wire.field_bytes(1, b"loss\xff") + b"\x15" + struct.pack("<f", 0.5)
    payload = wire.field_bytes(5, wire.field_bytes(1, value))
    assert columns(decode(payload)) == {"loss\ufffd": [(0, 0.5)]}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60)), st.data())
def test_nothing_raises(noise: list[bytes], data: st.DataObject) -> None:
    whole = [
        event(300, simple("x", 1), tensor("t", number(1))),
        layerstats.encode_header(HEADER, 1, 2.0),
        layerstats.encode_frame(1, 2.0, 1, {"modules": (2, 2, bytes(16))}, {"loss": 1.0}),
    ]
    for payload in whole:
        broken = bytearray(payload)
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        noise += [payload, bytes(broken), payload]
    decode(*noise)


tags = st.sampled_from(["loss", "a", "train/loss", "\u00e9"])
scalars = st.builds(simple, tags, st.floats(width=32))
tensors = st.builds(
    lambda tag, value, plugin: tensor(tag + "t", number(value), plugin),
    tags, st.floats(width=32), st.sampled_from([None, "scalars"]),
)  # fmt: skip
events = st.builds(
    lambda step, wall, values: event(step, *values, wall=wall),
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300),
    st.floats(),
    st.lists(scalars | tensors, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=12), st.integers(1, 12))
def test_equals_protobuf_however_batched(payloads: list[bytes], piece: int) -> None:
    expected: dict[str, list[tuple[int, bytes, bytes]]] = {}
    for payload in payloads:
        parsed = Event.FromString(payload)
        for value in parsed.summary.value:
            held = value.simple_value
            if value.HasField("tensor"):
                held = value.tensor.float_val[0]
            row = parsed.step, struct.pack("<d", parsed.wall_time), struct.pack("<f", held)
            expected.setdefault(value.tag, []).append(row)
    decoder = EventDecoder("run", "file")
    got: dict[str, list[tuple[int, bytes, bytes]]] = {}
    for at in range(0, len(payloads), piece):
        for points in read(decoder, payloads[at : at + piece]).points:
            rows = zip(points.steps, points.wall_times, points.values, strict=True)
            got.setdefault(points.key.tag, []).extend(
                (int(s), struct.pack("<d", w), struct.pack("<f", v)) for s, w, v in rows
            )
    assert {tag: _quiet(rows) for tag, rows in got.items()} == {
        tag: _quiet(rows) for tag, rows in expected.items()
    }


def _quiet(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, str, str]]:
    """Rows with NaNs made equal: which NaN it was is lost in passing."""
    return [
        (step, str(struct.unpack("<d", wall)[0]), str(struct.unpack("<f", value)[0]))
        for step, wall, value in rows
    ]


# --- layers, facts, the end ---------------------------------------------------------------

MODULES = Table(
    columns=("act_mean", "act_rms"),
    names=("fc1", "relu"),
    kinds=("Linear", "ReLU"),
    shapes=((), ()),
    followed_by=("relu:ReLU", ""),
)
HEADER = Header(1, {"modules": MODULES}, {"optimizer": "SGD"})


def frame(step: int, matrix: Sequence[Sequence[float]], generation: int = 1) -> bytes:
    array = np.array(matrix, "<f4")
    rows, stats = array.shape
    return layerstats.encode_frame(
        step, 50.0 + step, generation, {"modules": (rows, stats, array.tobytes())}, {"loss": step}
    )


def by_tag(batch: Batch) -> Mapping[str, Points]:
    return {points.key.tag: points for points in batch.points}


def test_frames_become_one_series_per_stat() -> None:
    header = layerstats.encode_header(HEADER, 0, 50.0)
    batch = decode(header, frame(1, [[1, 2], [3, 4]]), frame(2, [[5, 6], [7, math.nan]]))
    assert batch.facts == {"optimizer": "SGD"}
    points = by_tag(batch)
    assert set(points) == {"layer/act_mean", "layer/act_rms", "loss"}
    rms = points["layer/act_rms"]
    assert rms.steps.tolist() == [1, 2]
    assert rms.clock.tolist() == [51, 52]
    np.testing.assert_array_equal(rms.values, [[2, 4], [6, math.nan]])
    assert rms.values.flags.c_contiguous
    assert rms.layers is not None
    assert rms.layers.names == ("fc1", "relu")
    assert rms.layers.followed_by == ("relu:ReLU", "")
    assert points["layer/act_mean"].layers is rms.layers
    assert points["loss"].values.tolist() == [1, 2]
    assert points["loss"].layers is None


def test_the_greatest_magnitude_tells_what_is_not_finite() -> None:
    columns, nan = ("act_absmax", "act_count"), math.nan
    table = Table(columns, ("a", "b", "c", "d"), ("Linear",) * 4)
    header = layerstats.encode_header(Header(1, {"modules": table}), 0, 50.0)
    batch = decode(header, frame(1, [[3, 8], [math.inf, 8], [nan, 8], [nan, nan]]))
    flags = by_tag(batch)["layer/act_nonfinite"]
    np.testing.assert_array_equal(flags.values, [[0, 1, 1, nan]])  # the last one did not run
    assert flags.layers is by_tag(batch)["layer/act_count"].layers


def test_the_norms_tell_the_update_ratio() -> None:
    table = Table(("weight_norm", "update_norm"), ("a", "b", "c"), ("Linear",) * 3)
    header = layerstats.encode_header(Header(1, {"modules": table}), 0, 50.0)
    batch = decode(header, frame(1, [[4, 1], [0, 1], [math.nan, 1]]))
    np.testing.assert_array_equal(
        by_tag(batch)["layer/update_ratio"].values, [[0.25, math.nan, math.nan]]
    )


def test_what_an_old_writer_says_itself_is_not_made_again() -> None:
    table = Table(("weight_norm", "update_norm", "update_ratio"), ("a",), ("Linear",))
    header = layerstats.encode_header(Header(1, {"modules": table}), 0, 50.0)
    batch = decode(header, frame(1, [[4, 1, 7]]))
    assert by_tag(batch)["layer/update_ratio"].values.tolist() == [[7]]


def test_a_repeated_header_keeps_the_layers_object() -> None:
    decoder = EventDecoder("run", "file")
    header = layerstats.encode_header(HEADER, 0, 50.0)
    first = read(decoder, [header, frame(1, [[1, 2], [3, 4]])])
    second = read(decoder, [frame(2, [[1, 2], [3, 4]]), header, frame(3, [[1, 2], [3, 4]])])
    assert first.points[0].layers is second.points[0].layers
    assert second.points[0].steps.tolist() == [2, 3]


def test_a_changed_header_starts_new_points() -> None:
    other = Table(("act_rms",), ("a", "b", "c"), ("Linear",) * 3)
    changed = Header(2, {"modules": other})
    batch = decode(
        layerstats.encode_header(HEADER, 0, 50.0),
        frame(1, [[1, 2], [3, 4]]),
        layerstats.encode_header(changed, 1, 51.0),
        frame(2, [[1], [2], [3]], generation=2),
    )
    shapes = [(p.key.tag, p.values.shape) for p in batch.points if p.layers is not None]
    assert shapes == [("layer/act_mean", (1, 2)), ("layer/act_rms", (1, 2)),
                      ("layer/act_rms", (1, 3))]  # fmt: skip


def test_a_frame_without_its_header_is_counted_and_the_rest_counts() -> None:
    decoder = EventDecoder("run", "file")
    batch = read(decoder, [frame(1, [[1, 2], [3, 4]])])
    assert columns(batch) == {"loss": [(1, 1)]}
    assert decoder.unusable == 1


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b'{"generation":1e999}', b"{}", b"null"])
def test_a_header_without_sense_is_counted(text: bytes) -> None:
    header = layerstats.encode_header(HEADER, 0, 50.0)
    good = header.index(b'{"generation"')
    value = Summary.Value(tag="monitor/header", tensor=TensorProto(dtype=7, string_val=[text]))
    value.metadata.plugin_data.plugin_name = "training_health"
    value.metadata.plugin_data.content = b"header"
    decoder = EventDecoder("run", "file")
    assert good > 0
    assert read(decoder, [event(0, value)]).points == ()
    assert decoder.unusable == 1


def test_the_hooks_end_lasts() -> None:
    decoder = EventDecoder("run", "file")
    assert read(decoder, [layerstats.encode_end(9, 60.0)]).ended
    assert read(decoder, [event(10, simple("x", 1))]).ended


def session(status: SessionLog.SessionStatus.ValueType) -> bytes:
    payload: bytes = Event(session_log=SessionLog(status=status)).SerializeToString()
    return payload


def test_a_session_log_ends_the_run_only_if_nothing_follows() -> None:
    decoder = EventDecoder("run", "file")
    assert not read(decoder, [session(SessionLog.START)]).ended
    assert read(decoder, [event(1, simple("x", 1)), session(SessionLog.STOP)]).ended
    assert read(decoder, []).ended
    assert not read(decoder, [session(SessionLog.STOP), event(2, simple("x", 1))]).ended


def test_histograms_and_images_are_passed_over_and_their_plugins_are_not() -> None:
    histogram = Summary.Value(tag="w", histo=HistogramProto(bucket_limit=[1.0] * 30, bucket=[2.0]))
    image = Summary.Value(tag="i", image=Summary.Image(encoded_image_string=bytes(500)))
    named = Summary.Value(tag="late", histo=HistogramProto(min=1.0))
    named.metadata.plugin_data.plugin_name = "histograms"
    decoder = EventDecoder("run", "file")
    payloads = [event(1, histogram), event(200, image), event(2, named), event(0, histogram)]
    number = tensor_util.make_tensor_proto(np.float32(1.0))
    late = event(3, tensor("late", number, plugin=None))
    batch = read(decoder, [*payloads, event(9, simple("x", 1.0)), late])
    assert columns(batch) == {"x": [(9, 1.0)]}
    assert (list(batch.events.steps), decoder.unusable) == ([9], 0)


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_histogram_that_breaks_off_is_no_event(cut: int) -> None:
    whole = event(1, Summary.Value(tag="w", histo=HistogramProto(bucket=[2.0] * 9)))
    decoder = EventDecoder("run", "file")
    read(decoder, [whole[:-cut]])
    assert decoder.unusable == 1
