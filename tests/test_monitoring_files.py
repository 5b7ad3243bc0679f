"""The dashboard of cluster/, and what Prometheus is told: they fit what a run serves."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest

from harness.live.metrics import metrics_server
from tests.live.scrapes import needs_promtool, promtool, scraped
from tests.live.snapshots import counted, snapshot

ROOT = Path(__file__).resolve().parent.parent
# What Prometheus adds to every series, and what a histogram's buckets have.
ADDED = {"job", "instance", "le"}
METRIC = re.compile(r"\bagent_harness_\w+")


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((ROOT / "cluster" / "grafana.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def expressions(dashboard, panels):
    """Every expression, with the name of what it is of."""
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    notes = dashboard["annotations"]["list"]
    return found + [(note["name"], note["expr"]) for note in notes if "expr" in note]


@pytest.fixture(scope="module")
def labels_served():
    """The labels of each metric that a run serves, by the sample's name."""
    with metrics_server("run", "127.0.0.1", 0) as served:
        served.step("one", 1, 2)
        served.begin({"target": "memory_core"}, 10)
        served.event({"kind": "phase"})
        group = {"count": 2, "mean_ms": 1.0, "p50_ms": 1.0, "max_ms": 1.0}
        counts = {"operations": 2, "failed": 0, "duration_s": 1.0, "throughput_ops_s": 2.0}
        served.end("complete", counts | {"all": group, "search": group})
        served.begin({"target": "memory_core"}, 10)
        served.update(snapshot(counted([100.0])))
        return {
            sample.name: set(sample.labels)
            for family in scraped(served.url)
            for sample in family.samples
        }


def test_every_metric_and_label_of_an_expression_is_served(expressions, labels_served):
    """What selects and groups in the dashboard is there in what a run serves."""
    for title, expression in expressions:
        names = METRIC.findall(expression)
        assert names, title
        assert set(names) <= set(labels_served), title
        for name, selector in re.findall(r"\b(agent_harness_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= labels_served[name] | ADDED, (title, name)
        together = set().union(*(labels_served[name] for name in names)) | ADDED
        for group in re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", expression):
            assert set(re.findall(r"\w+", group)) <= together, title


def test_every_metric_is_selected_by_the_dashboards_variables(expressions):
    """No series of another job or driver gets into a panel."""
    for title, expression in expressions:
        selected = re.findall(r"\bagent_harness_\w+\{([^}]*)\}", expression)
        assert len(selected) == len(METRIC.findall(expression)), title
        for selector in selected:
            assert 'job=~"$job", instance=~"$instance"' in selector, title


def test_legends_name_labels_that_their_expression_has(panels, labels_served):
    """What a legend shows is a label that is left in the result."""
    for panel in panels:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            groups = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            plain = not re.search(r"\b(sum|max|histogram_quantile)\b", target["expr"])
            (first, *_) = METRIC.findall(target["expr"])
            left = labels_served[first] if plain else set(re.findall(r"\w+", " ".join(groups)))
            assert shown <= left, panel["title"]


def test_most_of_what_is_served_is_shown(expressions, labels_served):
    """Operations, times, agents, roles, nodes and results each have a panel."""
    shown = {name for _, expression in expressions for name in METRIC.findall(expression)}
    for part in ("operations_total", "duration_seconds_bucket", "part_seconds_total", "agents"):
        assert any(name.endswith(part) for name in shown), part
    for group in ("role_", "node_", "recent_", "result_"):
        assert any(name.startswith(f"agent_harness_{group}") for name in shown), group


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard):
    """Ids are unique, and each place of the grid of 24 columns has one panel at most."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


def test_the_data_source_is_chosen_when_it_is_imported(dashboard, panels):
    """A variable of the kind prometheus is the source of every panel, query and variable."""
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    source = variables.pop("datasource")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    targets = [target for panel in panels for target in panel["targets"]]
    assert all(one["datasource"] == chosen for one in [*panels, *targets, *variables.values()])
    assert set(variables) == {"job", "instance", "phase"}
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard
    assert dashboard["uid"]


@needs_promtool
def test_promtool_understands_every_expression(expressions, tmp_path):
    """Each is an expression of PromQL once Grafana's variables have values."""
    rules = [
        {"record": f"panel:{number}", "expr": _with_values(expression)}
        for number, (_, expression) in enumerate(expressions)
    ]
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", file)


@needs_promtool
def test_promtool_understands_what_prometheus_is_told(tmp_path):
    """The configuration in cluster/README.md is one that Prometheus starts with."""
    text = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", text, re.DOTALL)
    file = tmp_path / "prometheus.yml"
    file.write_text(snippet)
    _promtool("check", "config", file)


def _with_values(expression: str) -> str:
    for name, value in {"__rate_interval": "1m", "job": ".*", "instance": ".*"}.items():
        expression = expression.replace(f"${name}", value)
    expression = expression.replace("$phase", "measure")
    assert "$" not in expression
    return expression


def _promtool(*arguments: object) -> None:
    done = subprocess.run(
        [promtool() or "promtool", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
