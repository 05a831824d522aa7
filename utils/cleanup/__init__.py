"""Delete everything the notebooks made, and show what is left (notebook 07).

Only resources with both our name and our tag are deleted. Others with a name like ours are left alone. Each deletion is
safe to repeat, so you finish an interrupted cleanup by running it again.
"""

from .everything import delete_all, find_all, find_named, foreign_resources, leftovers, only_tagged, table
from .resource import NotDeleted, Resource
from .roles import delete_instance_profile
from .tag_register import tagged

__all__ = [
    "NotDeleted",
    "Resource",
    "delete_all",
    "delete_instance_profile",
    "find_all",
    "find_named",
    "foreign_resources",
    "leftovers",
    "only_tagged",
    "table",
    "tagged",
]
