"""The steps of ``components`` as Kubeflow pipelines: ordered, retried, scheduled.

    edit_dataset  every step of one run, then its scores and gallery     (edit_dataset.yaml)
    reevaluate    the same for a benchmark, then compared with a baseline  (reevaluate.yaml)
    order         the tasks of both, and what each may take
    steps         the tasks themselves, as KFP components of a few lines
    tasks         what those lines call: plain functions
    carried       how a user's text passes the templates of all that is on the way
    local, client, cli  `tav pipeline`: run here, submit, schedule

Kubeflow only orders the steps. It fans nothing out and caches nothing: Ray does the one inside each
step, and the tables, which every step asks first, do the other.
"""
