"""A whole run without waits between its steps: each video goes on as soon as its rows are there.

``flow`` is the driver's loop, ``ready`` says what can be computed, ``jobs`` who is given what,
``pool`` holds the processes and ``process`` is what runs in each. A step alone, and each of
Kubeflow's tasks, is spread by ``components.steps`` instead.
"""
