"""What each honoured member of a request changes: a request with it and one without it, and how AWS looks afterwards.

A module for each service has a probe of each operation. A probe is a request, the values that its members get instead,
and what is looked at after the call. Each probe plays in an account of its own.
"""
