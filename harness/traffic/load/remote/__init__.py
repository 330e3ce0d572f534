"""Load generators on other machines, such as pods: an agent beside each, and the harness's side of the connection.

The agent starts the same process as on this machine, which appends its records to a file. The harness copies that file
by its byte offsets, so that a connection that is cut at any moment loses nothing, and compares size and checksum at the
end.
"""
