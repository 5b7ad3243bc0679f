"""Records what the agents of one of Mesa's example simulations know, step by step, as a trace.

The trace is what `harness run --trace` replays: a row for each agent and step, with the state
that the agent was in after that step (step 0: before the first). Nothing is made up: every value
is read from the running simulation. The same options and the same releases of Mesa, numpy and
pyarrow give the same bytes.

The population is split over independent worlds of the examples' usual density; agents that die
end early, and agents that are born begin late. Mesa is imported here and nowhere else.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

# Mesa's Sugarscape fails when a trader is walled in, which happens in crowded worlds.
TRADERS_A_WORLD = 100
ANIMALS_A_WORLD = 150
SHEEP_RATIO = 2 / 3


def main(arguments: list[str] | None = None) -> int:
    """Record a trace; 0 when done, 1 when Mesa is missing, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    for name in ("steps", "agents"):
        if getattr(options, name) < 1:
            return _fail(2, f"--{name}: must be at least 1, not {getattr(options, name)}")
    if options.out.exists():
        return _fail(2, f"OUT: {options.out} exists; remove it or name another file")
    if not options.out.parent.is_dir():
        return _fail(2, f"OUT: {options.out.parent} is no folder; make it first")
    try:
        mesa = _import_mesa()
    except ImportError as error:
        return _fail(
            1,
            f"Mesa cannot be imported ({error}); it comes with the dev extra: "
            "pip install 'agent-memory-harness[dev]', or run scripts/record_trace",
        )
    rows = [
        row
        for world, population in enumerate(_worlds(options.model, options.agents))
        for row in RECORDERS[options.model](
            world, population, _world_seed(options.seed, world), options.steps
        )
    ]
    _write(options, rows, mesa.__version__)
    agents = len({row["agent_id"] for row in rows})
    size_bytes = options.out.stat().st_size
    print(f"{options.out}: {agents:,} agents, {len(rows):,} states, {size_bytes:,} bytes")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="record_trace", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", type=Path, metavar="OUT", help="the Parquet file to write")
    parser.add_argument("--model", choices=sorted(RECORDERS), default="sugarscape")
    parser.add_argument("--steps", type=int, default=20, help="steps of the simulation")
    parser.add_argument("--agents", type=int, default=500, help="agents at the start, in all")
    parser.add_argument("--seed", type=int, default=0, help="the simulation's seed")
    return parser


def _fail(code: int, sentence: str) -> int:
    print(f"record_trace: {sentence}", file=sys.stderr)
    return code


def _import_mesa() -> types.ModuleType:
    """Mesa, ready to import single examples of.

    `mesa.examples` itself imports every example, and some need packages that Mesa does not
    install (networkx); an empty package in its place leaves the choice to the importer.
    """
    mesa = importlib.import_module("mesa")
    examples = types.ModuleType("mesa.examples")
    examples.__path__ = [str(Path(str(mesa.__file__)).parent / "examples")]
    sys.modules["mesa.examples"] = examples
    return mesa


def _example(model: str) -> Any:
    return importlib.import_module(f"mesa.examples.advanced.{model}.model")


def _worlds(model: str, agents: int) -> list[int]:
    """How many agents each world begins with: as even as can be, none above its size."""
    size = TRADERS_A_WORLD if model == "sugarscape" else ANIMALS_A_WORLD
    worlds = -(-agents // size)
    return [agents // worlds + (world < agents % worlds) for world in range(worlds)]


def _world_seed(seed: int, world: int) -> int:
    """Worlds differ within a trace, and between traces of different seeds."""
    return random.Random(f"{seed} {world}").getrandbits(31)


def record_sugarscape(world: int, population: int, seed: int, steps: int) -> Iterator[Row]:
    """Rows of Epstein and Axtell's Sugarscape with traders of sugar and spice (G1mt)."""
    model = _example("sugarscape_g1mt").SugarscapeG1mt(initial_population=population, seed=seed)
    before: dict[int, tuple[int, ...]] = {}
    for step in range(steps + 1):
        if step and not _step(model, world, step):
            return
        for trader in model.agents:
            number = trader.unique_id
            yield _row(f"trader-{world}-{number}", step, _trader_state(trader, before.get(number)))
            before[number] = trader.cell.coordinate


def _trader_state(trader: Any, before: tuple[int, ...] | None) -> Row:
    sees = list(trader.cell.get_neighborhood(trader.vision, include_center=True))
    moved = before is not None and before != trader.cell.coordinate
    x, y = trader.cell.coordinate
    prices = [float(price) for price in trader.prices]
    return {
        "kind": "trader",
        "action": "trade" if prices else "move" if moved else "stay",
        "position": {"x": int(x), "y": int(y)},
        "stock": {"sugar": float(trader.sugar), "spice": float(trader.spice)},
        "metabolism": {
            "sugar": int(trader.metabolism_sugar),
            "spice": int(trader.metabolism_spice),
        },
        "vision": int(trader.vision),
        "welfare": float(trader.calculate_welfare(trader.sugar, trader.spice)),
        "sees": {
            "sugar": float(sum(cell.sugar for cell in sees)),
            "spice": float(sum(cell.spice for cell in sees)),
            "traders": sum(len(cell.agents) for cell in sees) - 1,
        },
        "trades": {"count": len(prices), "last_price": prices[-1] if prices else None},
    }


def record_wolf_sheep(world: int, population: int, seed: int, steps: int) -> Iterator[Row]:
    """Rows of Wilensky's wolves, sheep and grass; those that are born are recorded too."""
    example = _example("wolf_sheep")
    simulator = importlib.import_module("mesa.experimental.devs").ABMSimulator()
    sheep = round(population * SHEEP_RATIO)
    model = example.WolfSheep(
        initial_sheep=sheep, initial_wolves=population - sheep, seed=seed, simulator=simulator
    )
    before: dict[int, tuple[tuple[int, ...], float, int]] = {}
    for step in range(steps + 1):
        if step:
            # The simulator steps the model and lets the grass grow.
            simulator.run_for(1)
        for animal in model.agents:
            if isinstance(animal, example.GrassPatch):
                continue
            number, kind = animal.unique_id, type(animal).__name__.lower()
            was = before.get(number)
            state = _animal_state(animal, kind, was, example)
            before[number] = (animal.cell.coordinate, float(animal.energy), state["age"])
            yield _row(f"{kind}-{world}-{number}", step, state)


def _animal_state(
    animal: Any, kind: str, was: tuple[tuple[int, ...], float, int] | None, example: Any
) -> Row:
    near = list(animal.cell.get_neighborhood(1, include_center=True))
    others = [other for cell in near for other in cell.agents if other is not animal]
    grass = [other for other in others if isinstance(other, example.GrassPatch)]
    x, y = animal.cell.coordinate
    energy = float(animal.energy)
    return {
        "kind": kind,
        "action": _animal_action(animal.cell.coordinate, energy, was),
        "age": was[2] + 1 if was else 0,
        "position": {"x": int(x), "y": int(y)},
        "energy": energy,
        "gained": energy - was[1] if was else 0.0,
        "traits": {
            "reproduces": float(animal.p_reproduce),
            "food_value": float(animal.energy_from_food),
        },
        "near": {
            "sheep": sum(isinstance(other, example.Sheep) for other in others),
            "wolves": sum(isinstance(other, example.Wolf) for other in others),
            "grass": sum(patch.fully_grown for patch in grass),
        },
    }


def _animal_action(
    place: tuple[int, ...], energy: float, was: tuple[tuple[int, ...], float, int] | None
) -> str:
    """What the step's change of energy and place tells: a step costs 1, a birth half."""
    if was is None:
        return "begin"
    if energy > was[1] - 1:
        return "eat"
    if energy < was[1] - 1:
        return "reproduce"
    return "stay" if place == was[0] else "move"


def _step(model: Any, world: int, step: int) -> bool:
    """One step of a world; False, with a note, when Mesa's example cannot go on."""
    try:
        model.step()
    except ValueError as error:
        print(
            f"record_trace: world {world} ends before step {step}: {error} "
            "(a trader is walled in, which Mesa's example does not handle)",
            file=sys.stderr,
        )
        return False
    return True


def _row(agent_id: str, step: int, state: Row) -> Row:
    return {"agent_id": agent_id, "step": step, "state_id": f"{agent_id}@{step}", "state": state}


def _write(options: argparse.Namespace, rows: list[Row], mesa_version: str) -> None:
    """Write whole or not at all, an agent's rows together: they compress best so."""
    agents = dict.fromkeys(row["agent_id"] for row in rows)
    place = {agent_id: number for number, agent_id in enumerate(agents)}
    rows = sorted(rows, key=lambda row: place[row["agent_id"]])
    command = f"{options.model} --steps {options.steps} --agents {options.agents}"
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        {"recorded": f"{command} --seed {options.seed}", "mesa": mesa_version}
    )
    unfinished = options.out.with_name(f".{options.out.name}.unfinished")
    try:
        pq.write_table(table, unfinished, compression="zstd", compression_level=19)
        unfinished.rename(options.out)
    finally:
        unfinished.unlink(missing_ok=True)


RECORDERS = {"sugarscape": record_sugarscape, "wolf_sheep": record_wolf_sheep}

if __name__ == "__main__":
    sys.exit(main())
