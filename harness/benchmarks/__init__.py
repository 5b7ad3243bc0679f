"""The benchmarks: series of runs, each a step with a run directory of its own, and what they say.

`harness.benchmarks.bench_directory` has the files, `harness.benchmarks.bench` the steps on one
connection to Ray. A benchmark (`agent_scaling`, `memory_scaling`, `resource_utilization`) says
which steps there are; what follows from them is the matter of `harness.analysis`, from files
alone.
"""
