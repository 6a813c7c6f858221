"""Worker groups: bounded channels, worker tasks, deadlines, overload; and the receive task that feeds them.

What is done with a message is passed in as a `Handler`; nothing here knows of routes.
"""
