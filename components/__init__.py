"""The batch pipeline: one file per step, plus the few things that the steps share.

Steps, in order: ``ingest`` → ``caption`` → ``tune`` (with inversion) → ``sample`` → ``score`` → ``report``.
Each reads committed rows, computes what is missing, and appends rows; ``plan`` says what is missing.
Shared: ``config``, ``manifest``, ``store``, ``tables``, ``schemas``, ``keys``, ``video_io``, ``failures``.
Entry points: ``cli`` (the ``tav`` command) and ``runner`` (the steps in order, on Ray).

Nothing heavy is imported at the top of these modules: ``tav --help`` answers in under a second.
"""
