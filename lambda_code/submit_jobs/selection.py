"""A selective execution that selects only some of the steps that belong together does not do what it seems to.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html
"""

from botocore.exceptions import BotoCoreError, ClientError

from aws import client
from log import log
from values import BadEvent


def refuse_partial_selection(options):
    """Raise BadEvent if the execution selects some of the `pipeline_steps` and not the others.

    Selected alone, the step that submits would leave its jobs without a step that waits. Without the permission to
    describe the execution, or without `pipeline_steps`, nothing is refused. The check only prevents a mistake, and most
    executions select nothing.
    """
    together = options.get("pipeline_steps", "").split()
    if not together:
        return
    try:
        execution = client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=options["execution_id"])
    except (ClientError, BotoCoreError) as error:
        log("selected steps not checked", level="WARNING", error=str(error))
        return
    selected = {step["StepName"] for step in execution.get("SelectiveExecutionConfig", {}).get("SelectedSteps", [])}
    if selected & set(together) and not selected >= set(together):
        raise BadEvent(
            f"The execution selects {', '.join(sorted(selected & set(together)))} alone, but these steps belong "
            f"together. Select {', '.join(together)}."
        )
