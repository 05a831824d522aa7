"""What can keep a poll from ending in an answer."""


class InvalidMessage(ValueError):
    """The message is not one of a CallbackStep. Its text says why."""


class PollLater(Exception):
    """The step can't be answered now. Poll again.

    Args:
        reason: for the log, a string or the exception that caused it.
        pushed: an event will report the end, so there is no hurry.
        settling: Batch is only behind and will catch up in minutes, so this never exhausts the retries.
    """

    def __init__(self, reason, pushed=False, settling=False):
        super().__init__(str(reason))
        self.pushed, self.settling = pushed, settling


class AnswerDenied(PollLater):
    """This function's role may not answer the pipeline. A person can mend that until the step's deadline."""


class UnconfirmedError(Exception):
    """An error that may pass. It fails the step once a few polls have confirmed it.

    Args:
        reason: what the step's failure reason will say.
        unfinished: ids of the jobs to terminate then, since no step waits for them any more.
    """

    def __init__(self, reason, unfinished=()):
        super().__init__(str(reason))
        self.unfinished = unfinished
