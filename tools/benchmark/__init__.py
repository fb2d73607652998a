"""What tools/bench runs: switchd measured beside its peers. README, "Measuring it", says how to use it.

Read in this order: rows (the table of scenarios), measurement (how a figure is taken), goals (how it is judged);
then the switches, what drives them (frontends, guest), what a run takes from the machine (host), and the report.
"""
