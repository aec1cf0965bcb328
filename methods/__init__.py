"""How an edit is made: one file a method, each behind the class of ``method``.

    method     what a method is, and what it is given
    registry   which methods there are: entry points of the group ``tav.methods``

A method knows torch, diffusers, transformers and ``tav_model``; it knows nothing of Ray, KFP, S3 or
a run's files. Its heavy imports stay inside functions: the driver asks for keys and costs alone.
"""
