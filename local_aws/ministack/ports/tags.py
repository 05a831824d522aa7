"""The register of tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


def register_tags(service: str, tagged: Callable[[str, str], Iterable[tuple[str, dict[str, str]]]]) -> None:
    """Let GetResources and aws:ResourceTag conditions see the resources of one of our services.

    Args:
        service: the service's name in an ARN, "batch" or "sagemaker".
        tagged: given account and Region, yields (ARN, tags) of every resource.
    """
    from ministack.core import responses
    from ministack.services import tagging

    def collect() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for arn, tags in tagged(responses.get_account_id(), responses.get_region()):
            yield arn, [{"Key": key, "Value": value} for key, value in tags.items()]

    tagging._COLLECTORS[service] = collect
    tagging._RESOURCE_TAG_COLLECTORS[service] = collect
