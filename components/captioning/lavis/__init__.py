"""BLIP-2 through LAVIS, the library of its authors, in a process and an environment of its own.

    environment   makes and checks the environment: LAVIS's few packages laid over the project's
    captioner     what the caption step calls; starts the process and talks to it
    worker        the process: answers requests by LAVIS's code
    weights       transformers' names of BLIP-2's weights to LAVIS's

`worker` and what it imports must get along without the rest of this project's packages' versions.
"""
