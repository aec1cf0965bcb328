"""Benchmarks as others publish them: their clips in as a manifest, a run's edits out again.

    importing.py   a benchmark's folder to a manifest
    collector.py   which of its videos a manifest takes
    exporting.py   a variant's edits to a folder
    layout.py      where a benchmark looks for an edit

A file each, which alone knows its benchmark's names, and what a name becomes as an id and back:

    loveu.py       LOVEU-TGVE-2023: a table, folders of JPEG pictures in and out
    v2vbench.py    V2VBench: config.yaml, clips in, mp4 files out
    folders.py     any folder of videos; in only

And one that is no benchmark, for all variants of a run:

    huggingface.py   a dataset for the Hugging Face hub; card.py writes its card
"""
