"""The batch pipeline: a manifest of videos and edits in, tables of scored edits out.

From the top down; an arrow of import never climbs (`make lint` checks it):

    cli/         the `tav` command             captioning/  BLIP-2, by transformers or LAVIS
    launch/      on a Ray cluster, Kubernetes  results/     gallery, scored table, picture
    run/         what is there, what is        manifest/    what to edit
                 missing, who computes it      video/       files to frames and back
    plan/        what videos and shards take   records/     keys, failures, provenance, revisions
    steps/       ingest, caption, tune,        storage/     objects and tables
                 sample, score                 config/      the run's configuration
    layouts/     benchmarks in and out         syntax/      YAML and JSON, with lines
    study/       people's votes on a page

A step reads committed rows, computes what is missing and appends rows. Beside the rooms lies what
all of them need: `errors`, `redact`, `log`.

Nothing heavy is imported at the top of these modules: `tav --help` answers in under a second.
"""
