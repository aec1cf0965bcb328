"""The model room: Tune-A-Video (arXiv 2212.11565) on stock diffusers, one clip in, tensors out.

It inflates a Stable Diffusion checkpoint to video, tunes it on one clip, inverts the clip to
noise and samples edits of it. It knows nothing of Ray, Kubeflow, S3 or the files of a run. Import
what you need from the modules (`tav_model.load`, `tav_model.tune`, ...); this package itself
imports nothing, so that `tav_model.config` stays cheap enough for a command line's `--help`.
"""
