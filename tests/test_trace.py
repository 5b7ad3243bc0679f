"""Traces: what the formats share, the order, the copies, and every way to be wrong."""

import contextlib
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness.trace
import harness.trace_reader
from harness.errors import UsageError
from harness.trace import ReplaySlice, Trace, load_trace

RECORDED = Path(__file__).parent / "data" / "sugarscape.parquet"

ROWS: list[dict[str, Any]] = [
    {"agent_id": "ant", "step": 2, "state_id": "a2", "state": {"x": 2, "bag": {"food": 0.5}}},
    {"agent_id": "bee", "step": 1, "state_id": None, "state": {"x": 7, "bag": {"food": 1.5}}},
    {"agent_id": "ant", "step": 1, "state_id": "a1", "state": {"x": 1, "bag": {"food": 2.5}}},
    {"agent_id": "ant", "step": 3, "state_id": "a1", "state": {"x": 3, "bag": {"food": 3.5}}},
]


def as_table(rows: list[dict[str, Any]] = ROWS, **columns: Any) -> pa.Table:
    """The rows as a table with a struct column; ``columns`` replace or add some."""
    names = {name: None for row in rows for name in row}
    table = {name: [row.get(name) for row in rows] for name in names}
    return pa.table({**table, **columns})


def as_text_table() -> pa.Table:
    return as_table(state=[json.dumps(row["state"]) for row in ROWS])


def as_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def write_ipc_file(table: pa.Table, path: Path) -> Path:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return path


def write_ipc_stream(table: pa.Table, path: Path) -> Path:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def write_lines(rows: list[Any], path: Path) -> Path:
    path.write_bytes(as_lines(rows))
    return path


def replayed(trace: Trace, agents: int | None = None) -> dict[str, list[Any]]:
    """Everything a run of ``agents`` replays, by the id it replays under."""
    numbers = range(trace.agents if agents is None else agents)
    part = ReplaySlice.from_bytes(trace.slice_for(numbers))
    return {part.agent_id(number): part.states_of(number) for number in numbers}


EXPECTED = {
    "ant": [
        ("a1", {"x": 1, "bag": {"food": 2.5}}),
        ("a2", {"x": 2, "bag": {"food": 0.5}}),
        ("a1", {"x": 3, "bag": {"food": 3.5}}),
    ],
    "bee": [(None, {"x": 7, "bag": {"food": 1.5}})],
}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.parquet", lambda path: write_parquet(as_table(), path)),
        ("text.parquet", lambda path: write_parquet(as_text_table(), path)),
        ("t.arrow", lambda path: write_ipc_file(as_table(), path)),
        ("text.feather", lambda path: write_ipc_file(as_text_table(), path)),
        ("t.arrows", lambda path: write_ipc_stream(as_table(), path)),
        ("text.ipc", lambda path: write_ipc_stream(as_text_table(), path)),
        ("t.jsonl", lambda path: write_lines(ROWS, path)),
        (
            "text.json",
            lambda path: write_lines(
                [{**row, "state": json.dumps(row["state"])} for row in ROWS], path
            ),
        ),
        ("no-suffix", lambda path: write_lines(ROWS, path)),
        ("lies.jsonl", lambda path: write_parquet(as_table(), path)),
    ],
)
def test_every_format_gives_the_same_states(tmp_path: Path, name: str, write: Callable[..., Path]):
    """The same trace has the same agents, order and states in every format, by its content."""
    path = write(tmp_path / name)
    trace = load_trace(path)
    assert trace.agent_ids == ["ant", "bee"]
    assert (trace.agents, trace.states) == (2, 4)
    assert replayed(trace) == EXPECTED
    assert trace.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_step_orders_and_the_file_breaks_ties(tmp_path: Path):
    """States replay by step, of any sign, and in the file's order where steps are equal."""
    steps = [5, -1, 5, 2**62, 0, 5]
    rows = [{"agent_id": "a", "step": s, "state": {"n": n}} for n, s in enumerate(steps)]
    for path in (
        write_lines(rows, tmp_path / "t.jsonl"),
        write_parquet(as_table(rows), tmp_path / "t.parquet"),
    ):
        states = replayed(load_trace(path))["a"]
        assert [state["n"] for _, state in states] == [1, 4, 0, 2, 5, 3]


def test_without_steps_the_file_is_the_order(tmp_path: Path):
    """A trace without steps and state ids replays each agent's states as they stand."""
    rows = [{"agent_id": n % 2, "state": {"n": n}, "extra": "x"} for n in range(6)]
    expected = {
        "0": [(None, {"n": 0}), (None, {"n": 2}), (None, {"n": 4})],
        "1": [(None, {"n": 1}), (None, {"n": 3}), (None, {"n": 5})],
    }
    assert replayed(load_trace(write_lines(rows, tmp_path / "t.jsonl"))) == expected
    assert replayed(load_trace(write_parquet(as_table(rows), tmp_path / "t.p"))) == expected


def test_fractional_steps_order_too(tmp_path: Path):
    """Steps may be floats, as pandas makes of integers."""
    rows = [{"agent_id": "a", "step": s, "state": {"s": s}} for s in (1.5, 0.5, 1.0)]
    for path in (
        write_lines(rows, tmp_path / "t.jsonl"),
        write_parquet(as_table(rows), tmp_path / "t.parquet"),
    ):
        assert [s["s"] for _, s in replayed(load_trace(path))["a"]] == [0.5, 1.0, 1.5]


def test_copies_replay_under_numbered_ids(tmp_path: Path):
    """Agents beyond the trace's own are copies of them, named with the copy's number."""
    trace = load_trace(write_lines(ROWS, tmp_path / "t.jsonl"))
    assert [trace.agent_id(number) for number in range(5)] == [
        "ant",
        "bee",
        "ant#1",
        "bee#1",
        "ant#2",
    ]
    assert replayed(trace, 5) == {
        "ant": EXPECTED["ant"],
        "bee": EXPECTED["bee"],
        "ant#1": EXPECTED["ant"],
        "bee#1": EXPECTED["bee"],
        "ant#2": EXPECTED["ant"],
    }


def test_fewer_agents_are_the_first_ones(tmp_path: Path):
    """A run of fewer agents than the trace has replays those that appear first."""
    assert list(replayed(load_trace(write_lines(ROWS, tmp_path / "t.jsonl")), 1)) == ["ant"]


def test_a_slice_holds_its_own_agents_only_and_once(tmp_path: Path):
    """A cohort's slice grows with its source agents and not with their copies."""
    trace = load_trace(write_lines(ROWS, tmp_path / "t.jsonl"))
    data = trace.slice_for(range(0, 1000, 2))
    assert data == trace.slice_for([0])
    part = ReplaySlice.from_bytes(data)
    assert part.agent_id(998) == "ant#499"
    assert part.state_count(998) == 3
    assert part.states_of(998) == EXPECTED["ant"]
    for number in (1, 999, -1):
        with pytest.raises(KeyError):
            part.states_of(number)


def test_states_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A slice decodes a state when its agent comes to it, and none before."""
    trace = load_trace(write_lines(ROWS, tmp_path / "t.jsonl"))
    decoded = 0
    unpacked = harness.trace.unpacked

    def counting(payload: bytes) -> dict[str, Any]:
        nonlocal decoded
        decoded += 1
        return unpacked(payload)

    monkeypatch.setattr(harness.trace, "unpacked", counting)
    states = ReplaySlice.from_bytes(trace.slice_for([0, 1])).iter_states(0)
    assert decoded == 0
    assert next(states) == EXPECTED["ant"][0]
    assert decoded == 1


def test_an_empty_slice_has_nobody(tmp_path: Path):
    """A slice for no agents is whole, and has none."""
    trace = load_trace(write_lines(ROWS, tmp_path / "t.jsonl"))
    with pytest.raises(KeyError):
        ReplaySlice.from_bytes(trace.slice_for([])).agent_id(0)


@pytest.mark.parametrize("data", [b"", b"junk", pa.table({"a": [1]}).schema.serialize()])
def test_foreign_bytes_are_no_slice(data: Any):
    """Bytes that no trace made are refused."""
    with pytest.raises(ValueError):  # noqa: PT011
        ReplaySlice.from_bytes(data if isinstance(data, bytes) else data.to_pybytes())


def test_an_id_twice_in_a_trace_is_the_same_memory_again(tmp_path: Path):
    """Two rows of one agent and state id are both kept: the later overwrites when replayed."""
    rows = [{"agent_id": "a", "state_id": 1, "state": {"n": n}} for n in range(2)]
    assert replayed(load_trace(write_lines(rows, tmp_path / "t.jsonl"))) == {
        "a": [("1", {"n": 0}), ("1", {"n": 1})]
    }


def test_json_keys_are_exactly_those_of_the_row(tmp_path: Path):
    """JSON states keep their own keys and types, where a struct column has None for the rest."""
    states = [{"a": 1}, {"b": "two", "c": [1, 2.5, None, "x", True]}, {}]
    rows = [{"agent_id": "a", "state": state} for state in states]
    lines = load_trace(write_lines(rows, tmp_path / "t.jsonl"))
    assert [state for _, state in replayed(lines)["a"]] == states
    structs = [{"agent_id": "a", "state": state} for state in ({"a": 1}, {"b": "two"})]
    table = load_trace(write_parquet(as_table(structs), tmp_path / "t.parquet"))
    assert [state for _, state in replayed(table)["a"]] == [
        {"a": 1, "b": None},
        {"a": None, "b": "two"},
    ]


def encoded_columns() -> list[Any]:
    ids = [row["agent_id"] for row in ROWS]
    texts = [json.dumps(row["state"]) for row in ROWS]
    structs = pa.array([row["state"] for row in ROWS])
    places = pa.array(range(len(ROWS)), pa.int16())
    runs = pa.RunEndEncodedArray.from_arrays([1, 2, 4], ["ant", "bee", "ant"])
    return [
        pytest.param(pa.array(ids).dictionary_encode(), texts, id="dictionary"),
        pytest.param(
            pa.array(ids, pa.large_string()), pa.array(texts, pa.large_string()), id="large"
        ),
        pytest.param(pa.array(ids, pa.string_view()), pa.array(texts, pa.string_view()), id="view"),
        pytest.param(runs, pa.array(texts).dictionary_encode(), id="runs"),
        pytest.param(ids, pa.DictionaryArray.from_arrays(places, structs), id="struct-dictionary"),
        pytest.param(ids, pa.array(texts, pa.json_()), id="json-extension"),
    ]


@pytest.mark.parametrize(("ids", "states"), encoded_columns())
def test_encodings_of_a_column_do_not_matter(tmp_path: Path, ids: Any, states: Any):
    """Dictionary, run-end, large, view and extension columns give what plain ones give."""
    table = as_table(agent_id=ids, state=states)
    assert replayed(load_trace(write_ipc_stream(table, tmp_path / "t.arrows"))) == EXPECTED


def test_maps_and_nested_types_become_plain_values(tmp_path: Path):
    """Map columns, nested maps, lists, nulls and small floats come back as plain Python values."""
    inner = pa.struct(
        [
            ("bag", pa.map_(pa.string(), pa.int64())),
            ("path", pa.list_(pa.struct([("x", pa.float16())]))),
            ("mood", pa.dictionary(pa.int8(), pa.string())),
            ("pair", pa.list_(pa.int8(), 2)),
            ("none", pa.null()),
        ]
    )
    nested = {
        "bag": {"food": 1},
        "path": [{"x": 0.5}],
        "mood": "calm",
        "pair": [1, 2],
        "none": None,
    }
    empty = dict.fromkeys(nested)
    table = pa.table({"agent_id": ["a", "a"], "state": pa.array([nested, empty], inner)})
    for path in (
        write_ipc_file(table, tmp_path / "t.arrow"),
        write_parquet(table, tmp_path / "t.pq"),
    ):
        assert replayed(load_trace(path)) == {"a": [(None, nested), (None, empty)]}
    kind = pa.map_(pa.string(), pa.float64())
    maps = pa.table({"agent_id": ["a", "a"], "state": pa.array([{"x": 1.5}, {}], kind)})
    path = write_parquet(maps, tmp_path / "m.parquet")
    assert replayed(load_trace(path)) == {"a": [(None, {"x": 1.5}), (None, {})]}


def test_sliced_columns_keep_their_rows_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Batches larger than what is decoded at once give every row, nulls in their places."""
    monkeypatch.setattr(harness.trace_reader, "ROWS_AT_ONCE", 3)
    rows = [
        {"agent_id": f"a{n % 4}", "state": {"n": n, "in": {"m": n if n % 3 else None}}}
        for n in range(20)
    ]
    expected = {
        f"a{agent}": [(None, rows[n]["state"]) for n in range(agent, 20, 4)] for agent in range(4)
    }
    for path in (
        write_ipc_file(as_table(rows), tmp_path / "t.arrow"),
        write_parquet(as_table(rows), tmp_path / "t.parquet"),
        write_lines(rows, tmp_path / "t.jsonl"),
    ):
        assert replayed(load_trace(path)) == expected


def test_strange_ids_and_numbers_survive(tmp_path: Path):
    """Ids of emoji, NUL, line ends and 1,024 bytes, and integers of any length, come back equal."""
    ids = ["🐜", "nul\0", "two\nlines", "\u202eback", "a" * 1024, "é" * 512]
    state = {"big": 10**40, "least": -(2**63), "most": 2**64 - 1, "🐝": "\0", "": {}}
    rows = [{"agent_id": agent_id, "state_id": agent_id, "state": state} for agent_id in ids]
    expected = {agent_id: [(agent_id, state)] for agent_id in ids}
    assert replayed(load_trace(write_lines(rows, tmp_path / "t.jsonl"))) == expected
    table = as_table(rows, state=[json.dumps(state)] * len(ids))
    assert replayed(load_trace(write_parquet(table, tmp_path / "t.parquet"))) == expected


def test_json_lines_allow_blank_lines_a_byte_order_mark_and_windows(tmp_path: Path):
    """Blank lines, a UTF-8 mark, CR LF and a last line without an end do no harm."""
    text = as_lines(ROWS).replace(b"\n", b"\r\n\r\n").rstrip()
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + text)
    assert replayed(load_trace(path)) == EXPECTED


def refusal(path: Path) -> str:
    """The sentence with which a trace is refused."""
    with pytest.raises(UsageError) as caught:
        load_trace(path)
    assert caught.value.field == "--trace"
    sentence = str(caught.value)
    assert sentence.startswith("--trace: ")
    assert sentence.isprintable(), sentence
    assert len(sentence) < 800
    return sentence


def test_a_missing_file_is_refused(tmp_path: Path):
    """A trace that is not there is named."""
    assert refusal(tmp_path / "none.parquet").endswith(
        "none.parquet does not exist; name a recorded trace"
    )


def test_a_folder_is_refused(tmp_path: Path):
    """A folder is no trace."""
    assert "is a folder; name the trace file in it" in refusal(tmp_path)


def test_a_device_is_refused():
    """What is no regular file is not read, which might never end."""
    assert "is no regular file" in refusal(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.parquet", b"", "is empty"),
        ("t.jsonl", b"\n \n", "has no rows"),
        ("t.parquet", b"agent_id,state\n1,2\n", "neither Parquet, Arrow IPC nor JSON Lines"),
        ("t.csv", b"agent_id,state\n1,2\n", "neither Parquet, Arrow IPC nor JSON Lines"),
        (
            "t.jsonl.gz",
            gzip.compress(b"{}\n" * 9, mtime=0),
            "compressed files must be unpacked first",
        ),
        ("t.jsonl", gzip.compress(b"{}\n" * 9, mtime=0), "bad line 1: it is not valid"),
        ("t.pickle", b"\x80\x04\x95\x10\x00", "neither Parquet"),
        ("t.parquet", b"PAR1" + b"\0" * 100, "is damaged or unreadable"),
        ("t.parquet", b"PAR1", "is damaged or unreadable"),
        ("t.arrow", b"ARROW1\0\0" + b"\xff" * 100, "is damaged or unreadable"),
        ("t.arrows", b"\xff\xff\xff\xff\x10\0\0\0" + b"\xfe" * 99, "is damaged or unreadable"),
        ("t.arrows", b"\xff\xff\xff\xff", "is damaged or unreadable"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, name: str, content: bytes, words: str):
    """An empty, foreign or broken file is refused in one sentence."""
    path = tmp_path / name
    path.write_bytes(content)
    assert words in refusal(path)


@pytest.mark.parametrize("keep_ratio", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("write", [write_parquet, write_ipc_file, write_ipc_stream])
def test_a_truncated_file_is_refused(
    tmp_path: Path, write: Callable[[pa.Table, Path], Path], keep_ratio: float
):
    """A file that ends too soon is refused, in whichever part it ends."""
    rows = [{"agent_id": f"a{n}", "state": {"n": n}} for n in range(500)]
    path = write(as_table(rows), tmp_path / "t")
    if write is write_ipc_stream:
        # A stream has no end mark that must be there: cut inside of its only batch.
        with pa.ipc.new_stream(path, as_table(rows).schema) as writer:
            writer.write_batch(as_table(rows).to_batches()[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep_ratio)])
    refusal(path)


@pytest.mark.parametrize("write", [write_parquet, write_ipc_file, write_ipc_stream])
def test_a_table_without_rows_is_refused(tmp_path: Path, write: Callable[[pa.Table, Path], Path]):
    """A table with the right columns and no rows is refused."""
    assert "has no rows" in refusal(write(as_table().slice(0, 0), tmp_path / "t"))


def struct_of(kind: pa.DataType) -> pa.Array:
    return pa.nulls(1, pa.struct([("in", pa.struct([("when", kind)]))]))


def a_state(**columns: Any) -> pa.Table:
    return pa.table({"agent_id": ["a"], "state": ['{"x": 1}'], **columns})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"id": [1], "state": ["{}"]}), "lacks the column agent_id; there is id, state"),
        (pa.table({"agent_id": [1], "x": [1]}), "lacks the column state; there is agent_id, x"),
        (a_state(agent_id=[1.5]), "a column agent_id of type double; it must hold strings or int"),
        (a_state(agent_id=[b"a"]), "a column agent_id of type binary"),
        (a_state(agent_id=[None]), "a column agent_id of type null"),
        (a_state(agent_id=[True]), "a column agent_id of type bool"),
        (a_state(state_id=[1.5]), "a column state_id of type double"),
        (a_state(step=["1"]), "a column step of type string; it must hold numbers"),
        (a_state(step=[True]), "a column step of type bool"),
        (a_state(state=[1]), "a column state of type int64; it must hold structs, maps or JSON"),
        (a_state(state=[b"{}"]), "a column state of type binary"),
        (a_state(state=[["x"]]), "a column state of type list"),
        (a_state(state=struct_of(pa.timestamp("us"))), "state.in.when of type timestamp[us]"),
        (a_state(state=struct_of(pa.binary())), "state.in.when of type binary"),
        (a_state(state=struct_of(pa.list_(pa.decimal128(5, 2)))), "state.in.when[*] of type dec"),
        (
            a_state(state=pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))),
            "keys of type int64 in state, and keys must be strings",
        ),
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, table: pa.Table, words: str):
    """A column that is missing or of a wrong type is named, with what it is."""
    assert words in refusal(write_ipc_stream(table, tmp_path / "t.arrows"))
    if not any(pa.types.is_null(column.type) for column in table.schema):
        assert words in refusal(write_parquet(table, tmp_path / "t.parquet"))


def test_columns_of_one_name_are_refused(tmp_path: Path):
    """Two columns of one name leave open which is meant."""
    table = pa.table([["a"], ["{}"], ["b"]], names=["agent_id", "state", "agent_id"])
    assert "has the column agent_id more than once" in refusal(
        write_ipc_file(table, tmp_path / "t")
    )


def test_fields_of_one_name_are_refused(tmp_path: Path):
    """A struct with two fields of one name is no mapping."""
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    path = write_ipc_file(a_state(state=twice), tmp_path / "t")
    assert "two fields of one name in state" in refusal(path)


def with_second(**columns: Any) -> pa.Table:
    """Two rows; ``columns`` give what is wrong with the second."""
    good: dict[str, Any] = {"agent_id": "a", "state": '{"x": 1}', **columns.pop("first", {})}
    return pa.table(
        {name: [good.get(name), columns.get(name, good.get(name))] for name in {**good, **columns}}
    )


NESTED = {"x": {"y": [1.0, 2.0]}}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (with_second(agent_id=None), "bad row 2: agent_id is null"),
        (with_second(agent_id=""), "bad row 2: agent_id is empty"),
        (with_second(agent_id="é" * 513), "bad row 2: agent_id is longer than 1,024 bytes"),
        (with_second(first={"state_id": "s"}, state_id=""), "bad row 2: state_id is empty"),
        (with_second(first={"state_id": "s"}, state_id="s" * 1025), "bad row 2: state_id is long"),
        (with_second(first={"step": 1}, step=None), "bad row 2: step is null"),
        (with_second(first={"step": 1.0}, step=float("nan")), "bad row 2: step is nan"),
        (with_second(state=None), "bad row 2: state is null; it must be a mapping"),
        (with_second(state=""), "bad row 2: state is not valid JSON"),
        (with_second(state="{x: 1}"), "bad row 2: state is not valid JSON"),
        (with_second(state='{"x": NaN}'), "bad row 2: state is not valid JSON"),
        (with_second(state='{"x": "\\ud800"}'), "bad row 2: state is not valid JSON"),
        (with_second(state='{"x": 1e999}'), "bad row 2: state holds a number that is too large"),
        (with_second(state='{"x": ' + "9" * 9999 + "}"), "bad row 2: state holds a number that"),
        (with_second(state="[1]"), "bad row 2: state is a list, not a JSON object"),
        (with_second(state="1"), "bad row 2: state is a number, not a JSON object"),
        (with_second(state='"{}"'), "bad row 2: state is a string, not a JSON object"),
        (with_second(state='{"x":' * 300 + "1" + "}" * 300), "bad row 2: state is nested deeper"),
        (with_second(state='{"x":' * 99999), "bad row 2: state is nested deeper"),
        (
            with_second(first={"state": NESTED}, state={"x": {"y": [1.0, float("nan")]}}),
            "bad row 2: state.x.y[1] is nan",
        ),
        (
            with_second(first={"state": NESTED}, state={"x": {"y": [float("-inf")]}}),
            "bad row 2: state.x.y[0] is -inf",
        ),
        (with_second(first={"state": NESTED}, state=None), "bad row 2: state is null"),
    ],
)
def test_wrong_rows_are_refused(tmp_path: Path, table: pa.Table, words: str):
    """A row with a bad id, step or state is named by its number, in Arrow as in Parquet."""
    assert words in refusal(write_ipc_stream(table, tmp_path / "t.arrows"))
    assert words in refusal(write_parquet(table, tmp_path / "t.parquet"))


def test_a_step_beyond_64_bits_is_refused(tmp_path: Path):
    """An unsigned step that no signed integer holds is named by its row."""
    steps = pa.array([1, 2**63], pa.uint64())
    table = with_second().append_column("step", steps)
    path = write_parquet(table, tmp_path / "t.parquet")
    assert "bad row 2: step is beyond 64 bits" in refusal(path)


def test_a_map_with_a_key_twice_is_refused(tmp_path: Path):
    """A map that holds a key twice is no mapping; its row is named."""
    kind = pa.map_(pa.string(), pa.int64())
    maps = pa.array([[("x", 1)], [("x", 1), ("x", 2)]], kind)
    table = pa.table({"agent_id": ["a", "a"], "state": maps})
    path = write_ipc_file(table, tmp_path / "t.arrow")
    assert "bad row 2: state has a map with one key twice" in refusal(path)


def test_rows_are_numbered_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The row that is named is the file's, whatever batch it lies in."""
    monkeypatch.setattr(harness.trace_reader, "ROWS_AT_ONCE", 3)
    states = ["{}"] * 10 + ["[]"] + ["{}"] * 3
    table = pa.table({"agent_id": ["a"] * len(states), "state": states})
    for path in (
        write_parquet(table, tmp_path / "t.parquet"),
        write_ipc_file(table, tmp_path / "t.arrow"),
        write_ipc_stream(table, tmp_path / "t.arrows"),
    ):
        assert "bad row 11: state is a list" in refusal(path)
    lines = [{"agent_id": "a", "state": {}}] * 10 + [{"agent_id": "", "state": {}}]
    path = tmp_path / "t.jsonl"
    path.write_bytes(as_lines(lines).replace(b"\n", b"\n\n"))
    assert "bad line 21: agent_id is empty" in refusal(path)


def line_of(**fields: Any) -> bytes:
    return json.dumps({"agent_id": "a", "state": {}, **fields}).encode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "bad line 2: it is not valid JSON"),
        (b'{"agent_id": "a", "state": {}} junk', "bad line 2: it is not valid JSON"),
        (b'{"agent_id": "\xff", "state": {}}', "bad line 2: it is not valid JSON"),
        (b"[1]", "bad line 2: it is a list, not a JSON object"),
        (b"[" * 99999, "bad line 2: it is nested deeper than 128 levels"),
        (b'{"state": {}, "id": 1}', "bad line 2: it lacks the field agent_id; there is state, id"),
        (b'{"agent_id": 1}', "bad line 2: it lacks the field state; there is agent_id"),
        (line_of(agent_id=None), "bad line 2: agent_id is null"),
        (line_of(agent_id=""), "bad line 2: agent_id is empty"),
        (line_of(agent_id="a" * 1025), "bad line 2: agent_id is longer than 1,024 bytes"),
        (line_of(agent_id=1.5), "bad line 2: agent_id must be a string or an integer"),
        (line_of(agent_id=True), "bad line 2: agent_id must be a string or an integer"),
        (line_of(agent_id=[1]), "bad line 2: agent_id must be a string or an integer"),
        (line_of(state_id={}), "bad line 2: state_id must be a string or an integer"),
        (line_of(state_id=""), "bad line 2: state_id is empty"),
        (line_of(step=1), "bad line 2: step must be in every line or in none"),
        (line_of(state=None), "bad line 2: state is null; it must be a mapping"),
        (line_of(state=[1]), "bad line 2: state is a list; it must be a mapping"),
        (line_of(state=1), "bad line 2: state is a number; it must be a mapping"),
        (line_of(state="x"), "bad line 2: state is not valid JSON"),
        (b'{"agent_id": 1, "state": {"x": NaN}}', "bad line 2: it is not valid JSON"),
        (b'{"agent_id": 1, "state": {"x": 1e999}}', "bad line 2: it holds a number that is too"),
        (b'{"agent_id": 1, "state": ' + b'{"x":' * 200 + b"1" + b"}" * 201, "nested deeper"),
    ],
)
def test_wrong_lines_are_refused(tmp_path: Path, line: bytes, words: str):
    """A line of JSON Lines that is wrong is named by its number."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(line_of() + b"\n" + line + b"\n" + line_of() + b"\n")
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (None, "step is null"),
        ("1", "step must be a number"),
        (False, "step must be a number"),
        (2**63, "step is beyond 64 bits"),
    ],
)
def test_wrong_steps_of_lines_are_refused(tmp_path: Path, step: Any, words: str):
    """A step that orders nothing is named by its line, and so is one that is missing."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(line_of(step=1) + b"\n" + line_of(step=step))
    assert f"bad line 2: {words}" in refusal(path)
    path.write_bytes(line_of(step=1) + b"\n" + line_of())
    assert "bad line 2: step must be in every line or in none" in refusal(path)


def test_a_line_without_an_end_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A line that is too long is refused, and not read whole first."""
    monkeypatch.setattr(harness.trace_reader, "MAX_LINE_BYTES", 2**20)
    path = tmp_path / "t.jsonl"
    path.write_bytes(line_of() + b"\n" + line_of(state={"x": "y" * 2**20}))
    assert "bad line 2: it is longer than 1 MiB" in refusal(path)


def test_a_trace_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A trace that would take more memory than the bound is refused, with the bound."""
    monkeypatch.setattr(harness.trace, "MAX_TRACE_BYTES", 2**20)
    states = pa.array([json.dumps({"x": "y" * 1000})] * 2000).dictionary_encode()
    table = pa.table({"agent_id": ["a"] * 2000, "state": states})
    path = write_parquet(table, tmp_path / "t.parquet")
    assert path.stat().st_size < 2**14
    assert "takes over 1 MiB; record fewer agents or steps" in refusal(path)


def test_text_that_is_no_utf8_is_refused(tmp_path: Path):
    """Arrow strings that are not UTF-8 are found before anything follows them."""
    offsets = pa.py_buffer(np.array([0, 2], np.int32).tobytes())
    bad = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    table = pa.table({"agent_id": bad, "state": ["{}"]})
    assert "is damaged or unreadable" in refusal(write_ipc_file(table, tmp_path / "t.arrow"))


def test_what_a_file_says_cannot_reach_the_terminal(tmp_path: Path):
    """Control characters of names and keys are escaped in the sentence, and long ones cut."""
    table = pa.table({"\x1b[31mred\n" + "x" * 5000: [1], "state": ["{}"]})
    assert "\\x1b[31mred\\n" in refusal(write_ipc_file(table, tmp_path / "t.arrow"))
    path = write_lines([{"agent_id": 1, "state": {}, "step": "\x1b"}], tmp_path / "t.jsonl")
    refusal(path)


def test_random_damage_never_ends_in_anything_else(tmp_path: Path):
    """A damaged file gives its states or one sentence, wherever the damage is."""
    random = np.random.default_rng(7)
    for write in (write_parquet, write_ipc_file, write_ipc_stream):
        content = write(as_table(), tmp_path / "t").read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 3):
                damaged[place] = random.integers(0, 256)
            path = tmp_path / "damaged"
            path.write_bytes(damaged)
            with contextlib.suppress(UsageError):
                replayed(load_trace(path))


def ids_only(tmp_path: Path, ids: list[str]) -> Trace:
    rows = [{"agent_id": agent_id, "state": {}} for agent_id in ids]
    return load_trace(write_lines(rows, tmp_path / "t.jsonl"))


@pytest.mark.parametrize(
    ("ids", "most"),
    [
        (["a", "b", "a#1"], 3),  # agent 3 would be a#1
        (["a", "b", "b#2"], 7),  # agent 7 would be b#2
        (["a", "b" * 1022], 21),  # agent 21 would be b...#10
        (["a" * 1023, "b"], 2),  # agent 2 would be a...#1
        (["a" * 1024], 1),
    ],
)
def test_more_agents_than_ids_are_refused(tmp_path: Path, ids: list[str], most: int):
    """Copies whose id is taken or too long are refused, naming the most agents that can run."""
    trace = ids_only(tmp_path, ids)
    trace.check_agents(most)
    names = [trace.agent_id(number) for number in range(most)]
    assert len(set(names)) == most
    assert max(len(name.encode()) for name in names) <= 1024
    following = trace.agent_id(most)
    assert following in names or len(following.encode()) > 1024
    with pytest.raises(UsageError, match=f"at most {most} with this trace") as caught:
        trace.check_agents(most + 1)
    assert caught.value.field == "--agents"


def test_ids_with_a_hash_that_no_copy_takes_are_allowed(tmp_path: Path):
    """Ids that only look like a copy's do not limit the agents."""
    ids_only(tmp_path, ["a", "a#", "a#0", "a#01", "a#x", "#1", "c#1", "a#\u0662"]).check_agents(
        10**6
    )


def test_the_recorded_trace_loads():
    """The trace in tests/data has 500 agents or more, most of them with 12 steps or more."""
    trace = load_trace(RECORDED)
    assert RECORDED.stat().st_size <= 1_000_000
    assert trace.agents >= 500
    part = ReplaySlice.from_bytes(trace.slice_for(range(trace.agents)))
    counts = [part.state_count(number) for number in range(trace.agents)]
    assert sum(counts) == trace.states
    assert sum(count >= 12 for count in counts) > trace.agents / 2
    assert min(counts) < max(counts)
    state_id, state = part.states_of(trace.agents - 1)[0]
    assert state_id is not None
    assert state["kind"] == "trader"
    assert isinstance(state["position"]["x"], int)
