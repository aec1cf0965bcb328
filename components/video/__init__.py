"""Source videos to clips of frames, and frames to mp4: every file is taken for hostile.

From a source to its clip: sources (where it lies), isolated and decoding (the process that reads
it), containers and foreign (what the file is), whole/ and damage (is it sound), stream and declared
(which stream, and what is said of it), read (its frames), clock and selection (which of them),
display, orientation, colour and interlace (how they are shown), io (the clip, and mp4 and PNG out).
Folders of frames: listing, folder, frame_sets, pictures; animated WebP: animation.
"""
