"""What the product must reach, measured on this machine: the program behind scripts/bench.

    sizes       how much each measurement does
    harness_runs, library   measurements: one call, one mapping of named numbers
    session     every measurement in turn, as often as asked, so that what is compared interleaves
    catalogue   the figures that follow from a repeat's numbers, and what each must reach
    figures     medians and verdicts
    table       all of it as text
    command     options in, table and JSON out

A ratio is taken within a repeat, and the median is of the repeats' ratios.
"""
