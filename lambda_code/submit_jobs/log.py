"""Write the function's log, one line of JSON per event."""

import json


def log(message, **fields):
    print(json.dumps({"message": message, **fields}, default=str))
