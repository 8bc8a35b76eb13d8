"""The command line: parse at the door, call one function, print."""
