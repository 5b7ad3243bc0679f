"""What the product must reach, measured on this machine: the program behind scripts/bench.

    sizes       how much each measurement does
    harness_runs, library   measurements: one call, one mapping of named numbers
    session     every measurement in turn, as often as asked, so that what is compared interleaves
    catalogue   the figures that follow from a repeat's numbers, and what each must reach
    figures     medians and verdicts
    table       all of it as text
    suites      the measurements of one call of the command, with all that belongs to them
    command     options in, table and JSON out

The store at depth (``scripts/bench core``):

    core, core_figures   measurements, and their lines in the table
    core_child, core_opening, core_tiers, core_folder, core_usearch   what runs in processes of
                their own; `child` starts those, `loading` is what they share, `others`
                calls meanwhile, `quiet` waits
    walk, exact the states, and exact search on vectors made apart from the store

Several hosts (``scripts/bench cluster``): `cluster`, on a lab of namespaces (scripts/lab).

A ratio is taken within a repeat, and the median is of the repeats' ratios.
"""
