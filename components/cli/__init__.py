"""The `tav` command: main has the steps, the other files a group of subcommands each.

Nothing else knows this room: what a command does is a function of the rooms below.
"""
