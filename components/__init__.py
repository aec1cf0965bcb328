"""The batch pipeline: one file per step, plus the few things that the steps share.

Steps, in order: `ingest` → `caption` → `tune` (with inversion) → `sample` → `score` → `report`.
Each reads committed rows, computes what is missing, and appends rows.

`cli` is the `tav` command and `runner` takes the steps in order. `current` says which rows count
now, `plan` what is missing; `step` (Ray Data) and `shards` (Ray Train) spread the work. Shared by
all: `config`, `manifest`, `store`, `tables`, `schemas`, `keys`, `video_io`, `failures`.

Nothing heavy is imported at the top of these modules: `tav --help` answers in under a second.
"""
