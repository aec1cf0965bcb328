"""Source videos to clips of frames, and frames to mp4: every file is taken for hostile."""
