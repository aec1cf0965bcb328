"""The batch pipeline: a manifest of videos and edits in, tables of scored edits out.

    manifest/   what to edit               run/       what is missing, and who computes it
    video/      files to frames and back   steps/     ingest, caption, tune, sample, score
    storage/    objects and tables         results/   gallery, scored table, picture
    lavis/      another BLIP-2 for the caption step, in an environment of its own
    launch/     steps on a Ray cluster or Kubernetes, from outside of it

`cli` is the `tav` command; a step reads committed rows, computes what is missing and appends rows.
What all share stands beside it: config, keys, errors, failures, provenance, revisions, log.

Nothing heavy is imported at the top of these modules: `tav --help` answers in under a second.
"""
