"""A flow whose steps run on AWS Batch: a foreach, a step that needs its retry, and one whose failure is caught."""

import os

from metaflow import FlowSpec, batch, catch, current, retry, step


class Tried(FlowSpec):
    """Squares of numbers, summed."""

    @step
    def start(self):
        self.numbers = [1, 2, 3]
        self.next(self.square, foreach="numbers")

    @batch(cpu=1, memory=256)
    @step
    def square(self):
        self.squared = self.input * self.input
        self.job_id = os.environ["AWS_BATCH_JOB_ID"]
        self.next(self.join)

    @batch(cpu=1, memory=256)
    @step
    def join(self, inputs):
        print("joining", len(list(inputs)), "squares")
        self.total = sum(branch.squared for branch in inputs)
        self.jobs = len({branch.job_id for branch in inputs})
        self.next(self.second_try)

    @retry(times=2, minutes_between_retries=0)
    @batch(cpu=1, memory=256)
    @step
    def second_try(self):
        if current.retry_count == 0:
            raise RuntimeError("the first try fails")
        self.tries = current.retry_count + 1
        self.next(self.caught)

    @catch(var="problem")
    @batch(cpu=1, memory=256)
    @step
    def caught(self):
        self.number = int("no number")
        self.next(self.end)

    @step
    def end(self):
        print(f"total {self.total} of {self.jobs} jobs, {self.tries} tries, caught {self.problem.exception}")


if __name__ == "__main__":
    Tried()
