"""A run as it goes: one stream of counters, and what shows it.

`harness.live.view` says what a view is told. The terminal's is `harness.live.terminal`;
monitoring's are `harness.live.metrics` (Prometheus) and `harness.live.otlp`, which read
`harness.live.instruments`.
"""
