"""How an edit is made: one file a method, each behind the class of ``method``.

    method     what a method is, and what it is given
    registry   which methods there are: entry points of the group ``tav.methods``

Every method's file has its name. What they stand on is beside them:

    image                        methods that edit each frame alone
    tuned                        methods on the model that Tune-A-Video tunes
    alignment, blending          fatezero: words of two prompts, attention of two clips
    video_pipeline, video_parts  methods that are a pipeline of diffusers
    text2live_config, flow, atlas*, edit_*, clip*
                                 text2live: the clip as two pictures, and a layer over one of them

A method knows torch, diffusers, transformers and ``tav_model``; it knows nothing of Ray, KFP, S3 or
a run's files. Its heavy imports stay inside functions: the driver asks for keys and costs alone.
"""
