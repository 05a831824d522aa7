"""A flow whose step fails on AWS Batch."""

from metaflow import FlowSpec, batch, step


class Breaks(FlowSpec):
    """It never ends."""

    @batch(cpu=1, memory=256)
    @step
    def start(self):
        self.number = int("not expected")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Breaks()
